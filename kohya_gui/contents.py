"""What a file holds, said at its field: prompts, tags, datasets, a picture, a training's state. Needs no torch."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

from kohya_gui import pictures
from kohya_gui.listed import Listed
from kohya_gui.words import say, size
from sd_scripts.library.data.dataset_config import read_dataset_config
from sd_scripts.library.data.images import UnreadableImage, image_size
from sd_scripts.library.errors import BadFile, UserError
from sd_scripts.library.tagging.cleaning import read_rules
from sd_scripts.library.train.prompts import read_prompts

# Larger ones are not read while somebody types.
LARGEST_READ_BYTES = 20_000_000


def told(flag: str, path: Path) -> str:
    """What a file is, for the option that names it. Errors: UserError, where the option cannot use it."""
    size_bytes = path.stat().st_size
    reader = _READERS.get(flag) if size_bytes <= LARGEST_READ_BYTES else None
    return reader(path) if reader else say("found.file", size=size(size_bytes))


def told_of_metadata(entries: Listed) -> str:
    """How many pictures a metadata file names, and how many of them have no text."""
    without = entries.count(lambda kind: not kind.has_text)
    return say("found.images_without_text" if without else "found.images", n=len(entries), without=without)


def told_of_masks(folder: Path, of: Path | None) -> str:
    """How many masks a folder and those below have; where the pictures lie in one folder, `of` how many of them.

    Nothing, where there are none.
    """
    if not folder.is_dir():
        return ""
    masks = {file.stem for file in (*pictures.files_in(folder), *pictures.files_below(folder))}
    if not masks:
        return ""
    if of is None or not of.is_dir():
        return say("found.masks", n=len(masks))
    stems = {file.stem for file in pictures.files_in(of)}
    return say("found.masks_of", n=len(masks & stems), all=len(stems))


def told_of_picture(path: Path) -> str:
    """A picture's sides and size. Errors: BadFile."""
    try:
        width_px, height_px = image_size(path)
    except UnreadableImage as error:
        raise BadFile(say("path.no_picture", path=path, why=error)) from error
    return say("found.picture", width=width_px, height=height_px, size=size(path.stat().st_size))


def told_of_state(folder: Path) -> str:
    """Where a training's state stands."""
    try:
        facts = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return say("found.state_at", step=int(facts["step"]), epoch=int(facts["epoch"]) + 1)
    except (OSError, ValueError, KeyError, TypeError):
        return say("found.state")


def told_of_hub(name: str) -> str:
    """Whether a model of the hub is on this machine already."""
    kept = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots"
    there = kept.is_dir() and any(kept.iterdir())
    return say("found.hub_model_here" if there else "found.hub_model")


def _datasets(path: Path) -> str:
    try:
        datasets = read_dataset_config(str(path))
    except UserError:
        # The check of the whole says what is wrong, and where.
        return say("found.file", size=size(path.stat().st_size))
    return say("found.datasets", n=len(datasets), subsets=sum(len(one.subsets) for one in datasets))


def _prompts(path: Path) -> str:
    return say("found.prompts", n=len(read_prompts(str(path))))


def _tags(path: Path) -> str:
    lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()
    return say("found.tags", n=sum(bool(line.strip()) for line in lines))


def _rules(path: Path) -> str:
    rules = read_rules(path)
    return say("found.rules", n=len(rules.groups) + len(rules.replacements))


def _options(path: Path) -> str:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise BadFile(say("path.no_toml", path=path, why=error)) from error
    tables = [one if isinstance(one, dict) else {name: one} for name, one in values.items()]
    return say("found.options", n=sum(map(len, tables)))


_READERS: dict[str, Callable[[Path], str]] = {
    "dataset_config": _datasets,
    "sample_prompts": _prompts,
    "tags_path": _tags,
    "rules": _rules,
    "config_file": _options,
    "log_tracker_config": _options,
}
"""{option: how its file is read}; of others only the size is told."""
