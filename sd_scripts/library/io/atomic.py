"""Files and folders that appear whole or not at all: written beside their place, flushed, then renamed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Errors: BadFile, when the folder cannot be made or written to.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        # A rename would take the place of a device such as /dev/null, for the whole machine.
        raise BadFile(f"Cannot write {path}: it is no ordinary file. Choose another name.")
    beside = _beside(path)
    try:
        yield beside
        with open(beside, "rb+") as written:
            os.fsync(written.fileno())
        _open_to_others(beside)
        os.replace(beside, path)
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error
    finally:
        beside.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Before work starts: the folder that `path` is or lies in, or where that will be made, takes new files.

    Errors: BadFile.
    """
    there = path if path.is_dir() else next(folder for folder in path.absolute().parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder: the old one goes only when the new one is complete."""
    path = Path(path)
    beside = _beside(path)
    old = beside.with_name(beside.name + ".old")
    try:
        beside.unlink(missing_ok=True)
        beside.mkdir()
        yield beside
        for file in filter(Path.is_file, beside.rglob("*")):
            _open_to_others(file)
        if path.exists():
            os.replace(path, old)
        os.replace(beside, path)
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` as UTF-8 without a byte order mark and with \\n, whole or not at all."""
    # A file name that is no UTF-8 has letters that UTF-8 lacks; JSON reads them back from what takes their place.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as JSON with two spaces of indent and non-ASCII as itself, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=".part" + path.suffix, dir=path.parent)
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error
    os.close(handle)
    return Path(name)


def _open_to_others(file: Path) -> None:
    """As any new file: mkstemp, and the writer of safetensors, would keep it to its owner."""
    os.chmod(file, 0o666 & ~_UMASK)


def _cannot_write(path: Path, error: OSError) -> str:
    reason = error.strerror or error
    return f"Cannot write {path}: {reason}. Choose a place that can be written to, with enough free space."


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()
