"""A change of many texts at once: replace, add, remove. Pure functions from a text to its next."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from kohya_gui.arguments import Json, fits
from kohya_gui.dataset.album import SLOTS
from kohya_gui.dataset.texts import tags_in, tidy
from kohya_gui.words import refusal


@dataclass(frozen=True)
class Change:
    """What to do with a text. `unit`: whole tags between commas, or any part of the text.

    `find`: what is replaced or removed; `text`: what takes its place, or is added at the start or the end.
    """

    kind: str
    slot: str = "tags"
    unit: str = "tag"
    find: str = ""
    text: str = ""
    at: str = "end"

    @classmethod
    def from_json(cls, given: Json) -> "Change":
        """A change as the page sends it. Errors: BadOption, naming what is missing."""
        types = {f.name: f.type for f in fields(cls)}
        wrong = [name for name, value in given.items() if name not in types or not fits(value, types[name])]
        allowed = {"kind": KINDS, "slot": SLOTS, "unit": ("tag", "text"), "at": ("start", "end")}
        wrong += [name for name, known in allowed.items() if given.get(name, next(iter(known))) not in known]
        if wrong or "kind" not in given:
            raise refusal("change", "dataset.bad_change", name=(wrong or ["kind"])[0])
        change = cls(**given)
        # Between tags, spaces and commas mean nothing.
        given_parts = tags_in if change.unit == "tag" else bool
        needed = "text" if change.kind == "add" else "find"
        if not given_parts(getattr(change, needed)):
            raise refusal(needed, f"dataset.{needed}_needed")
        return change

    def applied(self, text: str) -> str:
        """The text after the change, line by line; a text that is none can only be added to."""
        lines = text.split("\n") if text else [""]
        if not text and self.kind != "add":
            return ""
        change = KINDS[self.kind][self.unit]
        return tidy("\n".join(change(self, line) if line.strip() or not text else line for line in lines))


def _replace_tags(change: Change, line: str) -> str:
    """All sought tags must be there; their replacement stands where the first of them stood."""
    tags, sought, new = tags_in(line), tags_in(change.find), tags_in(change.text)
    if not set(sought) <= set(tags):
        return line
    place = min(tags.index(tag) for tag in sought)
    before = [tag for tag in tags[:place] if tag not in sought]
    after = [tag for tag in tags[place:] if tag not in sought]
    return ", ".join(dict.fromkeys([*before, *new, *after]))


def _add_tags(change: Change, line: str) -> str:
    tags = tags_in(line)
    new = [tag for tag in dict.fromkeys(tags_in(change.text)) if tag not in tags]
    if not new:
        return line
    return ", ".join([*new, *tags] if change.at == "start" else [*tags, *new])


def _remove_tags(change: Change, line: str) -> str:
    """Any of the sought tags goes."""
    tags, sought = tags_in(line), set(tags_in(change.find))
    kept = [tag for tag in tags if tag not in sought]
    return line if len(kept) == len(tags) else ", ".join(kept)


def _replace_text(change: Change, line: str) -> str:
    return line.replace(change.find, change.text)


def _add_text(change: Change, line: str) -> str:
    return change.text + line if change.at == "start" else line + change.text


def _remove_text(change: Change, line: str) -> str:
    return line.replace(change.find, "")


KINDS: dict[str, dict[str, Callable[[Change, str], str]]] = {
    "replace": {"tag": _replace_tags, "text": _replace_text},
    "add": {"tag": _add_tags, "text": _add_text},
    "remove": {"tag": _remove_tags, "text": _remove_text},
}
