"""What draws: the model with its additions, once for each column of a grid. Needs no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.generate.kinds import FileKind, kind_of_file
from sd_scripts.options.gen_img import GenImgOptions

# What a training puts behind a name for each of its saves (formats.md, "Names of what a run writes").
_SAVE = re.compile(r"-(step\d{8}|\d{6})$")


@dataclass(frozen=True)
class Column:
    """Draws all pictures once. `model`: the checkpoint; `file`: what is added for this column, of a `kind`.

    `strength`: of the file, or, where there is none, of all networks and hypernetworks; None: as the options say.
    """

    label: str
    model: str
    file: str | None = None
    kind: FileKind | None = None
    strength: float | None = None


def columns_of(options: GenImgOptions) -> list[Column]:
    """All columns, in the order of the options; without a grid there is one. Errors: BadOption, BadFile."""
    files, strengths = options.grid.grid or [], options.grid.grid_multipliers or []
    kinds = {file: kind_of_file(file, "grid") for file in files}
    models = [file for file in files if kinds[file] == "model"]
    base = options.model.ckpt or (models[0] if models else None)
    if not base:
        raise BadOption("ckpt", "--ckpt is needed: the model that draws.")
    if not files:
        return [Column(f"x{strength:g}", base, strength=strength) for strength in strengths] or [Column("", base)]
    found: list[Column] = []
    if 0 in strengths and any(kind in _STRONG for kind in kinds.values()):
        found.append(Column(Path(base).stem, base, strength=None))
    for file in files:
        found += _of_file(file, kinds[file], base, [one for one in strengths if one])
    return found


def by_model(columns: Sequence[Column]) -> list[tuple[str, list[int]]]:
    """(checkpoint, places of the columns that need it): each is loaded once, however its path is written."""
    found: dict[str, tuple[str, list[int]]] = {}
    for place, column in enumerate(columns):
        path = Path(column.model)
        key = str(path.resolve()) if path.exists() else column.model
        found.setdefault(key, (column.model, []))[1].append(place)
    return list(found.values())


def word_of(file: str) -> str:
    """The word by which prompts use an embedding: its file's name, without what tells one save from the others."""
    return _SAVE.sub("", Path(file).stem)


# What can count more or less.
_STRONG: tuple[FileKind, ...] = ("network", "hypernetwork")


def _of_file(file: str, kind: FileKind, base: str, strengths: Sequence[float]) -> list[Column]:
    name = Path(file).stem
    if kind == "model":
        return [Column(name, file)]
    if kind not in _STRONG or not strengths:
        return [Column(name, base, file, kind)]
    return [Column(f"{name} x{strength:g}", base, file, kind, strength) for strength in strengths]
