"""Changes what a .safetensors file says of itself. Its tensors are copied as bytes, never loaded. Needs no torch."""

import fnmatch
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.asked import check_one_place, input_file, output_file
from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.io.headers import in_utf8, safetensors_header
from sd_scripts.library.io.reading import parse_json, read_text
from sd_scripts.library.report import Report, counted
from sd_scripts.options.model_tools import EditFilesOptions, EditKeysOptions

_FORMAT = "format"
"""The key by which readers know whose tensors these are: it stays."""


def read_metadata_of(name: str, value: str) -> tuple[Path, dict[str, str]]:
    """The .safetensors file that an option names, and the metadata in its header. Errors: BadOption, BadFile."""
    path = input_file(name, value)
    if path.suffix.lower() != ".safetensors":
        raise BadFile(f"{path} is no .safetensors file, and only those have metadata.")
    return path, safetensors_header(path)[1]


def changed(metadata: Mapping[str, str], keys: Mapping[str, str], without: Sequence[str]) -> dict[str, str]:
    """The metadata less the keys that patterns such as ss_* name, then with other keys."""
    left = {key: text for key, text in metadata.items() if key == _FORMAT or not _named(key, without)}
    return left | dict(keys)


def unknown_patterns(metadata: Mapping[str, str], patterns: Sequence[str]) -> list[str]:
    """The patterns that name no key."""
    return [pattern for pattern in patterns if not any(_named(key, [pattern]) for key in metadata)]


def write_with_metadata(source: Path, target: Path, metadata: Mapping[str, str]) -> None:
    """Writes `source` with this metadata to `target`, which may be the same file. Errors: BadFile."""
    # The source is closed before its place is taken, which Windows asks for.
    with replacing(target) as beside, open(source, "rb") as old, open(beside, "wb") as new:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        header.pop("__metadata__", None)
        # Places of tensors count from the end of the header, so they stay as they are.
        text = json.dumps({"__metadata__": in_utf8(metadata), **header}, ensure_ascii=False, separators=(",", ":"))
        data = text.encode()
        data += b" " * (-len(data) % 8)
        new.write(len(data).to_bytes(8, "little") + data)
        shutil.copyfileobj(old, new, 16 * 2**20)


def _named(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def edit_metadata(files: EditFilesOptions, keys: EditKeysOptions, spec: Mapping[str, str], report: Report) -> None:
    """The whole edit; `spec`: keys of the model-spec to set. Errors: BadOption and BadFile."""
    source, before = read_metadata_of("model", files.model)
    target = _target(files, source)
    new = {**_from_file(keys.set_from), **_pairs(keys.set or []), **spec}
    patterns = keys.remove or []
    if not new and not patterns:
        raise BadOption("set", "Nothing is asked for. Use --set key=text, --remove key, or --metadata_title and such.")
    for pattern in unknown_patterns(before, patterns):
        report.notice(f"--remove {pattern}: the header has no such key.", "warning")
    after = changed(before, new, patterns)
    report.phase("write", f"Writing {target}")
    write_with_metadata(source, target, after)
    report.saved(target, "model")
    _tell(before, after, target, report)


def _target(files: EditFilesOptions, source: Path) -> Path:
    check_one_place("--output", files.output, files.in_place)
    if not files.output:
        # A link stays one: what it leads to is changed.
        return source.resolve()
    return output_file("--output", files.output, [source], (".safetensors",))


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    bad = next((word for word, (key, mark, _) in zip(words, pairs, strict=True) if not mark or not key.strip()), None)
    if bad is not None:
        raise BadOption("set", f'--set "{bad}": write key=text, in quotes where there are spaces.')
    return {key.strip(): text for key, _, text in pairs}


def _from_file(name: str | None) -> dict[str, str]:
    if not name:
        return {}
    try:
        found = parse_json(read_text(Path(name).expanduser()))
    except OSError as error:
        raise BadOption("set_from", f"--set_from {name}: {error.strerror}. Name a JSON file.") from error
    except ValueError as error:
        raise BadOption("set_from", f"--set_from {name} is no JSON file: {error}.") from error
    if not isinstance(found, dict):
        raise BadOption("set_from", f"--set_from {name} holds no object of keys and texts.")
    given = ((key, text) for key, text in found.items() if key != _FORMAT)
    return {key: text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for key, text in given}


def _tell(before: Mapping[str, str], after: Mapping[str, str], target: Path, report: Report) -> None:
    added = sum(key not in before for key in after)
    removed = sum(key not in after for key in before)
    altered = sum(key in before and before[key] != text for key, text in after.items())
    text = f"Wrote {target}: {counted(added, 'key')} added, {altered:,} changed, {removed:,} removed."
    report.summary(text, added=added, changed=altered, removed=removed)
