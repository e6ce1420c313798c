"""Reading files whole, where a whole file is wanted: never more than fits, never from a pipe or a device.

What is refused is an OSError whose `strerror` says why, as that of a file that the system refuses.
"""

import errno
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

TEXT_BYTES = 50_000_000
"""More has no file that a person writes: captions, options, prompts, rules, lists of tags."""
DATA_BYTES = 2_000_000_000
"""More has no file that a program writes and reads at once: metadata of millions of pictures."""


def read_whole(path: str | Path, most_bytes: int = TEXT_BYTES) -> bytes:
    """What an ordinary file holds. Errors: OSError, for what is none, and for more than `most_bytes`."""
    # By the system's own calls, which take half the time of a file object: there may be a million files.
    handle = os.open(path, _FLAGS)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            code, sentence = errno.EINVAL, "it is no ordinary file"
            if stat.S_ISDIR(about.st_mode):
                code, sentence = errno.EISDIR, os.strerror(errno.EISDIR)
            raise OSError(code, sentence, str(path))
        if about.st_size > most_bytes:
            size_mb, most_mb = about.st_size / 1e6, most_bytes / 1e6
            sentence = f"it has {size_mb:,.1f} MB, and {most_mb:,.1f} MB are the most for such a file"
            raise OSError(errno.EFBIG, sentence, str(path))
        return _all_of(handle, about.st_size)
    finally:
        os.close(handle)


def _all_of(handle: int, size_bytes: int) -> bytes:
    """To the end, wherever that is by now: a file may grow or be cut while it is read."""
    data = os.read(handle, size_bytes + 1)
    if len(data) == size_bytes:
        return data
    parts = [data]
    while part := os.read(handle, _PART_BYTES):
        parts.append(part)
    return b"".join(parts)


# A pipe without a writer would wait for one for ever. Windows would change the line ends.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_PART_BYTES = 1 << 20


def read_text(path: str | Path, most_bytes: int = TEXT_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Errors: OSError, UnicodeDecodeError."""
    return read_whole(path, most_bytes).decode("utf-8-sig")


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says. Errors: ValueError, whatever is wrong with it."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says. Errors: ValueError, whatever is wrong with it."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
