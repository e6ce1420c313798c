"""The metadata file: one JSON object, from a picture's key to what is known of it. Needs no torch."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, TypedDict, TypeVar, cast

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.atomic import check_writable, copy_of, keep_before, replacing
from sd_scripts.library.io.json_pairs import LONGEST_LETTERS, NoObject, read_pairs, write_pairs


class Entry(TypedDict, total=False):
    """What is known of one picture. Sizes are (width, height) in px."""

    caption: str
    tags: str
    train_resolution: list[int]
    image_size: list[int]


Metadata = dict[str, Entry]

Image = TypeVar("Image", str, Path)
"""The path of a picture: where there are very many, a text is made and looked at ten times as fast."""

Entries = Iterator[tuple[str, Entry]]
"""Entries with their keys, one by one."""

_log = logging.getLogger(__name__)

# Larger than any picture that can be opened; a number without end would become a tensor without end.
_LONGEST_SIDE_PX = 1_000_000
_FIELDS: dict[str, type] = {"caption": str, "tags": str, "train_resolution": list, "image_size": list}


def read_metadata(path: str | Path, option: str = "in_json") -> Metadata:
    """The entries of a .json or .jsonl file, all at once. Errors: as `read_entries`."""
    return dict(read_entries(path, option))


def read_entries(path: str | Path, option: str = "in_json") -> Entries:
    """The entries of a .json or .jsonl file with their keys, one by one; a file of any size takes no more memory.

    Errors: BadOption, naming `option`, when the file is missing; BadFile, when it is no metadata.
    """
    file = Path(path)
    if not file.is_file():
        what = "this is a folder" if file.is_dir() else "there is no such file"
        raise BadOption(option, f'{option} "{path}": {what}. Name a metadata file written by an earlier stage.')
    return _entries(file)


def write_entries(path: str | Path, entries: Entries) -> int:
    """Writes entries as UTF-8 with two spaces of indent, whole or not at all; how many there were.

    What stood there before stays beside it as NAME.bak; where that cannot be, it is told. Errors: BadFile.
    """
    with replacing(Path(path)) as beside:
        # A file name that is no UTF-8 has letters that UTF-8 lacks; JSON reads them back from what takes their place.
        with open(beside, "w", encoding="utf-8", errors="backslashreplace") as file:
            count = write_pairs(file, entries)
        try:
            keep_before(Path(path))
        except BadFile as error:
            # Hours of work may stand in the new file.
            _log.warning(f"What stood in {path} before is not kept. {error}")
    return count


def check_out_json(path: str | Path) -> None:
    """Before work starts: the name is that of a .json file, so no picture or model is overwritten, in a writable place.

    Errors: BadOption, BadFile.
    """
    out = Path(path)
    if out.is_dir():
        raise BadOption("out_json", f"out_json {out} is a folder. Name a file, such as {out / 'meta.json'}.")
    if out.suffix.lower() != ".json":
        raise BadOption("out_json", f"out_json {out}: the name must end in .json, such as {out.with_suffix('.json')}.")
    check_writable(out)


def image_key(image: str | Path, full_path: bool) -> str:
    """The key of a picture: its absolute path, or its stem."""
    place = os.fspath(image)
    if full_path:
        return place if os.path.isabs(place) else os.path.join(os.getcwd(), place)
    return os.path.basename(without_ending(place))


def without_ending(place: str) -> str:
    """A picture's path without the ending that every picture has."""
    return place.rpartition(".")[0]


def keys_of(images: list[Image], full_path: bool) -> dict[str, Image]:
    """{key: picture}. Errors: BadOption, naming both, where two pictures would fall on one key."""
    keys: dict[str, Image] = {}
    stems: dict[str, Image] = {}
    for image in images:
        key = image_key(image, full_path)
        # Full paths differ, but a.png and a.jpg would still share a.caption and a.npz.
        twin = stems.setdefault(without_ending(os.fspath(image)), image) if full_path else keys.setdefault(key, image)
        if twin != image:
            beside = os.path.dirname(twin) == os.path.dirname(image)
            fix = "Rename one of them." if beside else "Add --full_path to tell them apart."
            raise BadOption("full_path", f"{twin} and {image} would share one entry in the metadata. {fix}")
        keys[key] = image
    return keys


def _instead(file: Path) -> str:
    """What to do about a broken file."""
    copy = copy_of(file)
    if copy.is_file():
        return f"{copy} is what stood there before: name that, or make the file again with the earlier stage."
    return "Make it again with the earlier stage."


def _entries(file: Path) -> Entries:
    try:
        with open(file, encoding="utf-8-sig") as text:
            read = _read_lines(text, file) if file.suffix.lower() == ".jsonl" else read_pairs(text)
            for key, entry in read:
                yield key, _checked(key, entry, file)
    except UnicodeDecodeError as error:
        raise BadFile(f"{file} is not UTF-8 text, so it is no metadata file. {_instead(file)}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadFile(f"{file} is broken JSON at {where}: {error.msg}. {_instead(file)}") from error
    except NoObject as error:
        raise BadFile(f"{file} holds a JSON {error}, not the object that metadata is.") from error
    except RecursionError as error:
        raise BadFile(f"{file} is nested too deeply to be metadata. Make it again with the earlier stage.") from error
    except ValueError as error:
        raise BadFile(f"{file} is no metadata: {error}. Make it again with the earlier stage.") from error
    except OSError as error:
        raise BadFile(f"{file} cannot be read: {error.strerror}.") from error


def _read_lines(text: TextIO, file: Path) -> Iterator[tuple[str, Any]]:
    # A line that is longer is no entry, and is not read as a whole.
    for number, line in enumerate(iter(lambda: text.readline(LONGEST_LETTERS), ""), 1):
        if line.strip():
            yield _read_line(line, f"line {number} of {file}")


def _read_line(line: str, where: str) -> tuple[str, dict[str, Any]]:
    try:
        row = json.loads(line)
        return str(row.pop("image_path")), row
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(f'{where} is no JSON object with an "image_path". Make the file again.') from error


def _is_size(found: Any) -> bool:
    if len(found) != 2:
        return False
    width_px, height_px = found
    # Looked at a million times: without a call for each side.
    whole = type(width_px) is int and type(height_px) is int
    return whole and 0 < width_px <= _LONGEST_SIDE_PX and 0 < height_px <= _LONGEST_SIDE_PX


def _checked(key: str, entry: Any, file: Path) -> Entry:
    if not isinstance(entry, dict):
        raise BadFile(f'{file}: the entry "{key}" is no object with a caption and tags.')
    for name, value in entry.items():
        kind = _FIELDS.get(name)
        if kind and not (isinstance(value, kind) and (kind is str or _is_size(value))):
            raise BadFile(f'{file}: "{name}" of the entry "{key}" is no {_WORDS[kind]}.')
    return cast("Entry", entry)


_WORDS: dict[type, str] = {str: "text", list: "pair of numbers"}
