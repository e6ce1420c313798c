"""What sort of trouble ended a run: as its script says, else as its last words or its exit code show."""

from sd_scripts.library import events

# The words of libraries that no script has put into a sentence of its own, in small letters.
_WORDS = {
    "memory": ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed", "std::bad_alloc"),
    "disk_full": ("no space left on device", "disk quota exceeded", "not enough space on the disk"),
}
# The signal that Linux sends when the machine itself has no memory left.
_SIGNALS = {-9: "killed"}


def kind_of(told: events.Failed | None, code: int | None, tail: str) -> str | None:
    """memory, disk_full, killed, or what the script said; None for any other trouble. `tail`: the log's end."""
    if told and (told.kind or told.option):
        return told.kind
    words = tail.lower()
    found = next((kind for kind, all_ in _WORDS.items() if any(one in words for one in all_)), None)
    return found or _SIGNALS.get(code or 0)
