"""The folders of states: sealed with checksums, verified before they are read, and the newest whole one of a run.

Needs no torch.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sd_scripts.library.io.hashes import sha256_of
from sd_scripts.library.train.state_facts import FACTS, Facts, facts_of

SUMS = "sums.json"
AVERAGES = "ema.safetensors"
# States of version 1 have no checksums.
_SEALED_SINCE = 2


def seal(folder: Path, known: Mapping[str, str]) -> None:
    """Writes the sizes and checksums of all files of a state. It is the last file: without it a state is not whole.

    `known`: checksums of files that need not be read for it.
    """
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    with ThreadPoolExecutor() as threads:
        digests = threads.map(lambda name: known.get(name) or sha256_of(files[name]), files)
    sums = {
        name: {"bytes": files[name].stat().st_size, "sha256": digest}
        for name, digest in zip(files, digests, strict=True)
    }
    (folder / SUMS).write_text(json.dumps({"version": 1, "files": sums}, indent=2), encoding="utf-8")


def damage(folder: Path, quick: bool = False) -> str | None:
    """What is wrong with a state, as a sentence goes on; None: it is whole. `quick` looks at names and sizes only."""
    try:
        facts = facts_of(folder)
        sums = _sums(folder, facts)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return f"its {FACTS} or {SUMS} is missing or damaged, so it was not written whole"
    for name, (size_bytes, _) in sums.items():
        if not (folder / name).is_file():
            return f"it has no {name}"
        if (folder / name).stat().st_size != size_bytes:
            return f"{name} is damaged: it has not the size with which it was written"
    return None if quick else _changed(folder, {name: digest for name, (_, digest) in sums.items()})


def newest_first(folders: list[Path]) -> list[Path]:
    """States by when they were saved: they say it themselves, as file times are lost in copies."""
    return sorted(folders, key=_saved_at, reverse=True)


def whole_beside(folder: Path) -> Path | None:
    """The newest whole state in the folder that a damaged one lies in."""
    try:
        others = [
            file.parent for file in folder.absolute().parent.glob(f"*/{FACTS}") if file.parent.name != folder.name
        ]
    except OSError:
        return None
    return next((one for one in newest_first(others) if damage(one) is None), None)


def _saved_at(folder: Path) -> tuple[float, int]:
    """(Unix seconds, step); of what does not say it the time of the folder."""
    try:
        facts = facts_of(folder)
    except (OSError, ValueError, TypeError, RecursionError):
        return folder.stat().st_mtime, 0
    return facts.saved_at or (folder / FACTS).stat().st_mtime, facts.step


def _sums(folder: Path, facts: Facts) -> dict[str, tuple[int, str]]:
    """{name: (size in bytes, checksum)}; nothing of a state from before there were any."""
    older = json.loads((folder / FACTS).read_text(encoding="utf-8"))["version"] < _SEALED_SINCE
    if older and not (folder / SUMS).exists():
        return {}
    files = json.loads((folder / SUMS).read_text(encoding="utf-8"))["files"]
    if FACTS not in files:
        raise ValueError("sums of something else")
    return {name: (int(known["bytes"]), str(known["sha256"])) for name, known in files.items()}


def _changed(folder: Path, digests: dict[str, str]) -> str | None:
    try:
        with ThreadPoolExecutor() as threads:
            found = list(threads.map(sha256_of, (folder / name for name in digests)))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    wrong = [name for name, digest in zip(digests, found, strict=True) if digests[name] != digest]
    return f"{wrong[0]} is damaged: its checksum is not that with which it was written" if wrong else None
