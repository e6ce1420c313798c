"""Errors that say that memory ran out, of whatever device and library. Needs no torch."""

from sd_scripts.library.errors import OutOfMemory

# As torch says it of GPUs, Metal and RAM, and oneDNN and C++ of RAM.
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "std::bad_alloc",
    "could not create a memory object",
    "alloc_failed",
)
_OF_RAM = ("defaultcpuallocator", "std::bad_alloc", "memory object")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. torch's own is a RuntimeError with such words."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def is_out_of_ram(error: BaseException) -> bool:
    """Whether it is the machine's own memory, and not a GPU's."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _OF_RAM)


def explained(error: BaseException, asked: dict[str, object]) -> OutOfMemory:
    """The sentence for a program that has none of its own; `asked`: its options by name."""
    remedies = [words for flag, words in _REMEDIES.items() if flag in asked and asked[flag] not in (0, 1, None)]
    advice = f"What helps most: {', '.join([*remedies, 'other programs closed'][:3])}."
    return OutOfMemory(f"Memory ran out. {advice}")


_REMEDIES = {
    "batch_size": "--batch_size 1",
    "vae_batch_size": "--vae_batch_size 1",
    "max_data_loader_n_workers": "--max_data_loader_n_workers 0",
    "max_resolution": "a smaller --max_resolution",
}
"""{option: what to set}, the most helpful first, for programs that look at pictures."""
