"""Rules of the pictures that a training reads: their metadata, texts, sizes and latents."""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from kohya_gui import fixes, pictures
from kohya_gui.draft import Draft, Finding, Fix, once
from kohya_gui.rules import entries_of, folders_read, rule
from kohya_gui.stages import TRAINERS
from kohya_gui.words import some_names
from sd_scripts.library.data.buckets import parse_resolution
from sd_scripts.library.data.images import IMAGE_SUFFIXES
from sd_scripts.library.data.picture_rules import PictureRules, parse_face_range
from sd_scripts.library.errors import BadOption


@rule(*TRAINERS)
def data_needed(draft: Draft) -> Iterator[Finding]:
    """Training needs metadata, and with bare names the folder that they stand in; or a description of its own."""
    if folders_read(draft):
        return
    if not any(draft.get(flag) for flag in ("in_json", "dataset_config", "dataset_class")):
        mend = (fixes.go("latents"), fixes.browse("in_json"))
        yield draft.error("in_json", "check.in_json_needed", *mend)
    entries = entries_of(draft)
    if entries and not draft.get("train_data_dir") and not Path(entries.first).is_absolute():
        given = [fixes.from_project(draft, "train_data_dir")] if draft.given("train_data_dir") else []
        yield draft.error("train_data_dir", "check.folder_needed", *given, fixes.browse("train_data_dir"))


@rule(*TRAINERS)
def listed_pictures_there(draft: Draft) -> Iterator[Finding]:
    """The pictures that the metadata lists are there; latents serve without their picture."""
    entries, folder = entries_of(draft), draft.path("train_data_dir")
    if not entries or not (folder or Path(entries.first).is_absolute()):
        return
    lacking, there = _without_latents(draft), _there_without_latents(draft)
    gone = [key for key in lacking if key not in there]
    counts = {"n": len(gone), "all": len(entries), "there": len(entries) - len(gone)}
    if gone:
        tell = draft.error if len(gone) == len(entries) else draft.warning
        mend = (fixes.browse("train_data_dir"), fixes.go("merge_captions"))
        names = some_names([os.path.basename(key) for key in gone])
        yield tell("in_json", "check.pictures_gone", *mend, **counts, names=names)
    else:
        yield draft.fine("check.metadata_read", **counts, file=Path(draft.get("in_json")).name)


@rule(*TRAINERS)
def texts_in_metadata(draft: Draft) -> Iterator[Finding]:
    """Pictures without any text are not trained."""
    entries = entries_of(draft)
    without = entries.keys(lambda kind: not kind.has_text) if entries else []
    if entries and len(without) == len(entries):
        yield draft.error("in_json", "check.no_text_at_all", fixes.go("caption_blip"), fixes.go("merge_captions"))
    elif entries and without:
        shown = pictures.of_entries(without, draft.path("train_data_dir"))
        mend = (fixes.show(shown.values()), fixes.go("caption_blip"))
        counts = {"n": len(without), "there": len(entries) - len(without), "all": len(entries)}
        yield draft.warning("in_json", "check.entries_without_text", *mend, **counts)
    elif entries:
        yield draft.fine("check.all_with_text", n=len(entries))


@rule(*TRAINERS)
def resolution_known(draft: Draft) -> Iterator[Finding]:
    """Without prepared latents the resolution must be given."""
    entries = entries_of(draft)
    without = entries.count(lambda kind: kind.prepared_px is None) if entries else 0
    if folders_read(draft) and not draft.get("resolution"):
        yield draft.error("resolution", "check.resolution_of_folders", _usual_size(draft))
    if without and not draft.get("resolution"):
        yield draft.error("resolution", "check.resolution_needed", _usual_size(draft), fixes.go("latents"), n=without)


def _usual_size(draft: Draft) -> Fix:
    """The size that the model was made for."""
    large = draft.get("v2") and draft.get("v_parameterization")
    side = 1024 if draft.stage.family == "sdxl" else 768 if large else 512
    return fixes.set_to(draft, "resolution", f"{side},{side}", enable_bucket=True)


@rule(*TRAINERS)
def latents_prepared(draft: Draft) -> Iterator[Finding]:
    """Pictures that Latents has given a size should have latents beside them."""
    entries = entries_of(draft)
    if draft.get("cache_latents") or draft.get("cache_latents_to_disk") or _changing(draft):
        return
    if entries is None or not _prepared(draft):
        return
    without = len(_without_both(draft) if draft.get("flip_aug") else _without_latents(draft))
    if without:
        mend = (fixes.go("latents"), fixes.turn_on(draft, "cache_latents"))
        yield draft.warning("in_json", "check.latents_missing", *mend, n=without, all=len(entries))


@rule(*TRAINERS)
def changing_pictures_have_no_latents(draft: Draft) -> Iterator[Finding]:
    """Latents made before do not serve pictures that differ each time; the range of faces is one."""
    try:
        parse_face_range(draft.get("face_crop_aug_range") or "1,1")
    except BadOption as error:
        yield Finding("error", error.option, str(error))
        return
    changing = _changing(draft)
    if changing and (draft.get("cache_latents") or draft.get("cache_latents_to_disk")):
        caches = ("cache_latents", "cache_latents_to_disk")
        keep = (fixes.keep(draft, changing[0], caches), fixes.keep(draft, _kept(draft), changing))
        yield draft.error(changing[0], "check.changing_cached", *keep, flag=changing[0])
    elif changing and _prepared(draft):
        mend = fixes.leave_out(draft, *changing)
        yield draft.warning(changing[0], "check.latents_unused", mend, flag=changing[0])


def _kept(draft: Draft) -> str:
    return "cache_latents_to_disk" if draft.get("cache_latents_to_disk") else "cache_latents"


@rule(*TRAINERS)
def prepared_sizes_hold(draft: Draft) -> Iterator[Finding]:
    """Sizes that Latents has prepared stay, whatever resolution is asked for."""
    text, entries = draft.get("resolution"), entries_of(draft)
    sizes = [kind.prepared_px for kind in entries.kinds if kind.prepared_px] if entries else []
    asked_px = _area_px(text) if entries and sizes and len(sizes) == len(entries.kinds) else 0
    largest_px = max((width * height for width, height in sizes), default=0)
    # Buckets lose up to a step on each side, so they have a little less than the area.
    if asked_px and not 0.7 * asked_px <= largest_px <= 1.05 * asked_px:
        side_px = round(largest_px**0.5 / 64) * 64
        mend = (fixes.leave_out(draft, "resolution"), fixes.go("latents", max_resolution=text, skip_existing=True))
        yield draft.warning("resolution", "check.other_resolution", *mend, made=side_px, asked=text)


def _area_px(text: str | None) -> int:
    """The pixels of a resolution; 0 for none, and for one that is refused elsewhere."""
    with suppress(BadOption):
        return math.prod(parse_resolution(text, "resolution")) if text else 0
    return 0


def _changing(draft: Draft) -> tuple[str, ...]:
    return PictureRules(
        color_aug=bool(draft.get("color_aug")),
        random_crop=bool(draft.get("random_crop")),
        face_crop_aug_range=(1.0, 1.0) if draft.get("face_crop_aug_range") else None,
    ).changing


def _prepared(draft: Draft) -> bool:
    """Whether Latents has given any of the pictures a size."""
    entries = entries_of(draft)
    return entries is not None and any(kind.prepared_px for kind in entries.kinds)


def read_for_training(draft: Draft) -> tuple[list[str], dict[str, Path]]:
    """Keys of the pictures that a training reads itself, all that change, else those without latents; and the pictures
    of those that are there.
    """
    entries = entries_of(draft)
    if entries and _changing(draft):
        return list(entries.places), pictures.of_entries(entries.places, draft.path("train_data_dir"))
    return _without_latents(draft), _there_without_latents(draft)


@once
def _without_latents(draft: Draft) -> list[str]:
    entries = entries_of(draft)
    return without_latents(entries.places, draft.get("train_data_dir") or "") if entries else []


@once
def _there_without_latents(draft: Draft) -> dict[str, Path]:
    return pictures.of_entries(_without_latents(draft), draft.path("train_data_dir"))


@once
def _without_both(draft: Draft) -> list[str]:
    """The keys of pictures that lack their latents, or those of their mirror image."""
    entries = entries_of(draft)
    return without_latents(entries.places, draft.get("train_data_dir") or "", mirrored=True) if entries else []


def without_latents(keys: Iterable[str], folder: str, mirrored: bool = False) -> list[str]:
    """The keys of pictures without prepared latents beside them, of whatever size."""
    listed: dict[str, frozenset[str]] = {}
    ends = ("", "_flip") if mirrored else ("",)
    without = []
    for key in keys:
        place, name = pictures.place_of(key, folder)
        if place not in listed:
            listed[place] = _latents_in(Path(place))
        # Most folders have none at all, or all of them.
        if not listed[place] or not all(_stem(name) + end in listed[place] for end in ends):
            without.append(key)
    return without


def _latents_in(folder: Path) -> frozenset[str]:
    try:
        return pictures.latents_in(folder)
    except OSError:
        return frozenset()


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name
