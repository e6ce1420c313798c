"""Errors that say that memory ran out, of whatever device and library. Needs no torch."""

from sd_scripts.library.errors import OutOfMemory

# As torch says it of GPUs, Metal and RAM, and OpenCV, oneDNN and C++ of RAM.
_WORDS = (
    "out of memory",
    "insufficient memory",
    "can't allocate memory",
    "std::bad_alloc",
    "could not create a memory object",
    "could not create a primitive",
    "alloc_failed",
)
_OF_RAM = ("defaultcpuallocator", "insufficient memory", "std::bad_alloc", "could not create a")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. torch raises a RuntimeError with such words, OpenCV one of its own."""
    if isinstance(error, MemoryError):
        return True
    from_torch_or_opencv = isinstance(error, RuntimeError) or type(error).__module__ == "cv2"
    return from_torch_or_opencv and any(word in str(error).lower() for word in _WORDS)


def is_out_of_ram(error: BaseException) -> bool:
    """Whether it is the machine's own memory, and not a GPU's."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _OF_RAM)


def explained(error: BaseException, asked: dict[str, object]) -> OutOfMemory:
    """The sentence for a program that has none of its own; `asked`: its options by name."""
    open_ = [words for flag, (words, done) in _REMEDIES.items() if flag in asked and asked[flag] not in done]
    where = " in the machine's RAM" if is_out_of_ram(error) else ""
    return OutOfMemory(f"Memory ran out{where}. What helps most: {', '.join([*open_, *ALWAYS][:3])}.")


_REMEDIES: dict[str, tuple[str, tuple[object, ...]]] = {
    "batch_size": ("--batch_size 1", (1,)),
    "vae_batch_size": ("--vae_batch_size 1", (1,)),
    "lowram": ("--lowram", (True,)),
    "max_data_loader_n_workers": ("--max_data_loader_n_workers 0", (0,)),
    "mixed_precision": ("--mixed_precision bf16", ("bf16", "fp16")),
    "max_resolution": ("a smaller --max_resolution", ()),
    "resolution": ("a smaller --resolution", ()),
}
"""{option: (what to set, the values with which that is done)}, the most helpful first: what is looked at together, the
whole model in RAM while it is loaded, each reader's pictures, and half of all numbers."""
ALWAYS = ("other programs closed", "more swap space", "a smaller model")
