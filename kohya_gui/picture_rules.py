"""Rules of the pictures that a training reads: their metadata, texts, sizes and latents."""

import os
from collections.abc import Iterator
from pathlib import Path

from kohya_gui import found
from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import entries_of, rule
from sd_scripts.library.data.images import IMAGE_SUFFIXES
from sd_scripts.library.data.picture_rules import PictureRules, parse_face_range
from sd_scripts.library.errors import BadOption


@rule("train")
def data_needed(draft: Draft) -> Iterator[Finding]:
    """Training needs metadata, and with bare names the folder that they stand in; or a description of its own."""
    if not any(draft.get(flag) for flag in ("in_json", "dataset_config", "dataset_class")):
        yield draft.error("in_json", "check.in_json_needed")
    entries = entries_of(draft)
    if entries and not draft.get("train_data_dir") and not Path(next(iter(entries))).is_absolute():
        yield draft.error("train_data_dir", "check.folder_needed")


@rule("train")
def texts_in_metadata(draft: Draft) -> Iterator[Finding]:
    """Pictures without any text are not trained."""
    entries = entries_of(draft) or {}
    without = sum(not (entry.get("caption") or entry.get("tags")) for entry in entries.values())
    if entries and without == len(entries):
        yield draft.error("in_json", "check.no_text_at_all")
    elif without:
        yield draft.warning(None, "check.entries_without_text", n=without)
    elif entries:
        yield draft.fine("check.all_with_text", n=len(entries))


@rule("train")
def resolution_known(draft: Draft) -> Iterator[Finding]:
    """Without prepared latents the resolution must be given."""
    entries = entries_of(draft) or {}
    without = sum("train_resolution" not in entry for entry in entries.values())
    if without and not draft.get("resolution"):
        yield draft.error("resolution", "check.resolution_needed", n=without)


@rule("train")
def latents_prepared(draft: Draft) -> Iterator[Finding]:
    """Pictures that Latents has given a size should have latents beside them."""
    entries = entries_of(draft) or {}
    if draft.get("cache_latents") or draft.get("cache_latents_to_disk") or _changing(draft):
        return
    if not any("train_resolution" in entry for entry in entries.values()):
        return
    # A full path as a key stands alone; bare names stand in the folder.
    places = [os.path.split(os.path.join(draft.get("train_data_dir") or "", key)) for key in entries]
    there = {folder: _latents_in(Path(folder)) for folder in {folder for folder, _ in places}}
    ends = ("", "_flip") if draft.get("flip_aug") else ("",)
    without = sum(not {_stem(name) + end for end in ends} <= there[folder] for folder, name in places)
    if without:
        yield draft.warning(None, "check.latents_missing", n=without, all=len(entries))


@rule("train")
def changing_pictures_have_no_latents(draft: Draft) -> Iterator[Finding]:
    """Latents made before do not serve pictures that differ each time; the range of faces is one."""
    try:
        parse_face_range(draft.get("face_crop_aug_range") or "1,1")
    except BadOption as error:
        yield Finding("error", error.option, str(error))
        return
    changing = _changing(draft)
    if changing and (draft.get("cache_latents") or draft.get("cache_latents_to_disk")):
        yield draft.error(changing[0], "check.changing_cached", flag=changing[0])
    elif changing and any("train_resolution" in entry for entry in (entries_of(draft) or {}).values()):
        yield draft.warning(changing[0], "check.latents_unused", flag=changing[0])


def _changing(draft: Draft) -> tuple[str, ...]:
    return PictureRules(
        color_aug=bool(draft.get("color_aug")),
        random_crop=bool(draft.get("random_crop")),
        face_crop_aug_range=(1.0, 1.0) if draft.get("face_crop_aug_range") else None,
    ).changing


def _latents_in(folder: Path) -> frozenset[str]:
    try:
        return found.latents_in(folder)
    except OSError:
        return frozenset()


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name
