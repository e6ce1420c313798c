"""Files and folders that appear whole or not at all: written beside their place, flushed to the disk, then renamed.

What a program that was killed leaves beside is called .NAME-MACHINE-PROCESS-LETTERS.part (and the file's ending); who
writes in that folder next removes it, once its writer is gone.
"""

import ctypes
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io import leftovers


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Errors: BadFile, when the folder cannot be made or written to.
    """
    path = Path(path)
    mode = _mode(path)
    with _taking_place(path) as beside:
        yield beside
        _flush_file(beside, mode)


@contextmanager
def _taking_place(path: Path) -> Iterator[Path]:
    if os.path.exists(path) and not os.path.isfile(path):
        # A rename would take the place of a device such as /dev/null, for the whole machine.
        raise BadFile(f"Cannot write {path}: it is no ordinary file. Choose another name.")
    beside = _beside(path)
    try:
        yield beside
        os.replace(beside, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error
    finally:
        leftovers.remove(beside)


def check_writable(path: Path) -> None:
    """Before work starts: the folder that `path` is or lies in, or where that will be made, takes new files.

    Errors: BadFile.
    """
    try:
        there = path if path.is_dir() else _nearest(path.absolute())
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error
    leftovers.tidy(there)


def _nearest(path: Path) -> Path:
    """The nearest folder above that is there. Errors: OSError, where there is none: the drive is missing."""
    there = next((folder for folder in path.parents if folder.exists()), None)
    if there is None:
        raise _missing(path)
    return there


def _missing(path: Path) -> OSError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder: the old one goes only when the new one is complete and in its place."""
    path = Path(path)
    beside = _beside(path)
    try:
        beside.unlink(missing_ok=True)
        beside.mkdir()
        yield beside
        for folder, _, files in os.walk(beside, topdown=False):
            for name in files:
                _flush_file(Path(folder, name), _NEW)
            _flush_folder(Path(folder))
        if path.is_dir():
            with suppress(OSError):
                shutil.copymode(path, beside)
        _take_place(beside, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error
    finally:
        leftovers.remove(beside)


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


def copy_of(path: Path) -> Path:
    """Where a second copy of a file lies, or what it held before."""
    return path.with_name(path.name + ".bak")


def keep_before(path: Path) -> None:
    """A file that is about to be replaced stays beside its place as NAME.bak. Errors: BadFile."""
    if not path.is_file():
        return
    with _taking_place(copy_of(path)) as beside:
        beside.unlink()
        try:
            # A second name for what is there takes no room and no time. It may be another user's: nothing is changed.
            os.link(path, beside)
        except OSError:
            shutil.copyfile(path, beside)
            _flush_file(beside, _mode(path))


def open_for_lines(path: Path) -> IO[str]:
    """Opens a file to append lines to. A last line that a killed program left without its end spoils only itself."""
    torn = ends_within_a_line(path)
    # backslashreplace: file names need not be UTF-8.
    stream = open(path, "a", encoding="utf-8", errors="backslashreplace", newline="\n")  # noqa: SIM115
    if torn:
        stream.write("\n")
        stream.flush()
    return stream


def ends_within_a_line(path: Path) -> bool:
    """Whether the last line of a file has no end."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _beside(path: Path) -> Path:
    try:
        _make_folder(path.parent)
        leftovers.tidy(path.parent)
        prefix, suffix = leftovers.beginning(path.stem[:40]), leftovers.PART + path.suffix
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
    except OSError as error:
        raise BadFile(_cannot_write(path, error)) from error
    os.close(handle)
    return Path(name)


def _make_folder(folder: Path) -> None:
    """A new folder is on the disk as soon as the one that it lies in says so."""
    if not folder.exists():
        if folder == folder.parent:
            # A drive that is not there, or the folder of the program itself, which was removed.
            raise _missing(folder)
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _take_place(beside: Path, path: Path) -> None:
    """The new folder takes the place of the old one, which is then where the new one was, or gone."""
    if not path.exists():
        os.replace(beside, path)
    elif not _exchange(beside, path):
        # Killed between the two renames, the old one is put back by `leftovers.tidy`.
        old = leftovers.moved_away(path)
        os.replace(path, old)
        try:
            os.replace(beside, path)
        except OSError:
            os.replace(old, path)
            raise
        leftovers.remove(old)


_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


def _exchange(one: Path, other: Path) -> bool:
    """Lets two names change places in one moment. False where the system, or this kind of disk, cannot do that."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _flush_file(file: Path, mode: int) -> None:
    """What a file holds is on the disk, and open to whom it is to be: mkstemp, and the writer of safetensors, would
    keep it to its owner."""
    with open(file, "rb+") as written:
        # Some drives know no rights, or let nobody set them.
        with suppress(OSError):
            os.chmod(file, mode)
        os.fsync(written.fileno())


def _mode(path: Path) -> int:
    """The rights of a file, which the one that takes its place keeps; where there is none, those of any new file."""
    try:
        return stat.S_IMODE(path.stat().st_mode) & 0o777
    except OSError:
        return _NEW


def _flush_folder(folder: Path) -> None:
    """The names in a folder are on the disk, where the system can say that: Windows and some networks cannot."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _cannot_write(path: Path, error: OSError) -> str:
    reason = error.strerror or error
    return f"Cannot write {path}: {reason}. Choose a place that can be written to, with enough free space."


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_NEW = 0o666 & ~_umask()
