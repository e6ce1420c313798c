"""The metadata file: one JSON object, from a picture's key to what is known of it. Needs no torch."""

import json
from pathlib import Path
from typing import Any, TypedDict

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.atomic import check_writable, copy_of, keep_before, write_json


class Entry(TypedDict, total=False):
    """What is known of one picture. Sizes are (width, height) in px."""

    caption: str
    tags: str
    train_resolution: list[int]
    image_size: list[int]


Metadata = dict[str, Entry]

_FIELDS: dict[str, type] = {"caption": str, "tags": str, "train_resolution": list, "image_size": list}


def read_metadata(path: str | Path, option: str = "in_json") -> Metadata:
    """The entries of a .json or .jsonl file.

    Errors: BadOption, naming `option`, when the file is missing; BadFile, when it is no metadata.
    """
    file = Path(path)
    if not file.is_file():
        what = "this is a folder" if file.is_dir() else "there is no such file"
        raise BadOption(option, f'{option} "{path}": {what}. Name a metadata file written by an earlier stage.')
    try:
        text = file.read_bytes().decode("utf-8-sig")
        found = _read_lines(text, file) if file.suffix.lower() == ".jsonl" else json.loads(text)
    except UnicodeDecodeError as error:
        raise BadFile(f"{file} is not UTF-8 text, so it is no metadata file. {_instead(file)}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadFile(f"{file} is broken JSON at {where}: {error.msg}. {_instead(file)}") from error
    except RecursionError as error:
        raise BadFile(f"{file} is nested too deeply to be metadata. Make it again with the earlier stage.") from error
    except OSError as error:
        raise BadFile(f"{file} cannot be read: {error.strerror}.") from error
    return _checked(found, file)


def write_metadata(path: str | Path, entries: Metadata) -> None:
    """Writes the entries as UTF-8 with two spaces of indent, whole or not at all. Errors: BadFile.

    What stood there before stays beside it as NAME.bak.
    """
    keep_before(Path(path))
    write_json(Path(path), entries)


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


def image_key(image: Path, full_path: bool) -> str:
    """The key of a picture: its absolute path, or its stem."""
    return str(image.absolute()) if full_path else image.stem


def keys_of(images: list[Path], full_path: bool) -> dict[str, Path]:
    """{key: picture}. Errors: BadOption, naming both, where two pictures would fall on one key."""
    keys: dict[str, Path] = {}
    stems: dict[Path, Path] = {}
    for image in images:
        key = image_key(image, full_path)
        # Full paths differ, but a.png and a.jpg would still share a.caption and a.npz.
        twin = stems.setdefault(image.with_suffix(""), image) if full_path else keys.setdefault(key, image)
        if twin != image:
            fix = "Rename one of them." if twin.parent == image.parent else "Add --full_path to tell them apart."
            raise BadOption("full_path", f"{twin} and {image} would share one entry in the metadata. {fix}")
        keys[key] = image
    return keys


def _instead(file: Path) -> str:
    """What to do about a broken file."""
    copy = copy_of(file)
    if copy.is_file():
        return f"{copy} is what stood there before: name that, or make the file again with the earlier stage."
    return "Make it again with the earlier stage."


def _read_lines(text: str, file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            key, entry = _read_line(line, f"line {number} of {file}")
            found[key] = entry
    return found


def _read_line(line: str, where: str) -> tuple[str, dict[str, Any]]:
    try:
        row = json.loads(line)
        return str(row.pop("image_path")), row
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(f'{where} is no JSON object with an "image_path". Make the file again.') from error


def _checked(found: Any, file: Path) -> Metadata:
    if not isinstance(found, dict):
        raise BadFile(f"{file} holds a JSON {type(found).__name__}, not the object that metadata is.")
    for key, entry in found.items():
        if not isinstance(entry, dict):
            raise BadFile(f'{file}: the entry "{key}" is no object with a caption and tags.')
        for name, kind in _FIELDS.items():
            if name in entry and not isinstance(entry[name], kind):
                raise BadFile(f'{file}: "{name}" of the entry "{key}" is no {_WORDS[kind]}.')
    return found


_WORDS: dict[type, str] = {str: "text", list: "pair of numbers"}
