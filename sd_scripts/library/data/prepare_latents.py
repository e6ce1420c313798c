"""The latents stage: pictures into buckets, latents beside them, sizes into the metadata. Imports torch late."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library import events
from sd_scripts.library.data.buckets import LATENT_PX, Size, rules_within
from sd_scripts.library.data.images import find_images
from sd_scripts.library.data.known_files import KnownFiles
from sd_scripts.library.data.latents import flip_path
from sd_scripts.library.data.latents_stage import LatentsStage
from sd_scripts.library.data.latents_worker import Wanted
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.io.metadata import Metadata, check_out_json, keys_of, read_metadata, write_metadata
from sd_scripts.library.report import Report
from sd_scripts.options.latents import LatentsFilesOptions, PrepareLatentsOptions

if TYPE_CHECKING:
    from sd_scripts.library.data.vae_encoder import VaeEncoder

_SWITCHES = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def prepare_latents(options: PrepareLatentsOptions, report: Report, load_vae: Callable[[str, bool], Any]) -> None:
    """The stage's work. `load_vae(name_or_path, v2)` gives an object with `module` (the VAE) and `hash`.

    Errors: BadOption and BadFile before work starts; NothingUsable, when no picture could be used.
    """
    rules = rules_within(options.caching.max_resolution, options.buckets)
    alpha_mask = _switch(options.caching.alpha_mask)
    found = _find(options)
    check_out_json(options.files.out_json)
    report.phase("load_model", f"Loading the VAE of {options.files.model_name_or_path}")
    encoder, precision, vae_hash = _load(options, report, load_vae)
    caching = options.caching
    way, keeps = caching.resize_interpolation, caching.skip_existing or caching.verify_cache
    wanted = Wanted(rules, vae_hash, precision, caching.flip_aug, alpha_mask, keeps, way)
    known = KnownFiles(trusting=not caching.verify_cache)
    stage = LatentsStage(wanted, encoder, options.loading.batch_size, report, known)
    if stage.run(list(found.keys), options.loading.max_data_loader_n_workers):
        _finish(stage, found, options.files, report)
    else:
        _stopped(stage, report)


@dataclass(frozen=True)
class _Found:
    """The metadata, the number of pictures in the folder, and {picture: its key in the metadata}."""

    entries: Metadata
    pictures: int
    keys: dict[Path, str]


def _find(options: PrepareLatentsOptions) -> _Found:
    files = options.files
    if files.recursive and not files.full_path:
        raise BadOption("recursive", "--recursive needs --full_path, so that pictures of several folders keep apart.")
    entries = read_metadata(files.in_json)
    pictures = keys_of(find_images(files.train_data_dir, files.recursive), files.full_path)
    if options.caching.flip_aug:
        _refuse_mirror_names(list(pictures.values()))
    return _Found(entries, len(pictures), _matched(pictures, entries, files))


def _finish(stage: LatentsStage, found: _Found, files: LatentsFilesOptions, report: Report) -> None:
    """Writes the metadata and says how it went. Errors: NothingUsable."""
    if not stage.sizes:
        none = f"None of the {len(found.keys):,} pictures in {files.train_data_dir} could be used."
        raise NothingUsable(f"{none} {_first(report)}")
    report.phase("write", f"Writing {files.out_json}")
    write_metadata(files.out_json, with_sizes(found.entries, found.keys, stage.sizes))
    report.saved(Path(files.out_json), "metadata")
    missing = _missing(found.entries, found.keys, files)
    counts = {"not_in_metadata": found.pictures - len(found.keys), "without_picture": missing}
    report.summary(stage.told(**counts), {"buckets": stage.table()}, **stage.counts, **counts)


def with_sizes(entries: Metadata, keys: dict[Path, str], sizes: dict[Path, Size]) -> Metadata:
    """The entries with train_resolution, floored to what a latent covers; a picture left out now has none."""
    out = dict(entries)
    for image, key in keys.items():
        entry = entries[key].copy()
        entry.pop("train_resolution", None)
        if image in sizes:
            entry["train_resolution"] = [side // LATENT_PX * LATENT_PX for side in sizes[image]]
        out[key] = entry
    return out


def _switch(text: str) -> bool:
    if text.strip().lower() not in _SWITCHES:
        raise BadOption("alpha_mask", f'--alpha_mask "{text}" is neither yes nor no. Write 1 for yes, or leave it out.')
    return _SWITCHES[text.strip().lower()]


def _load(
    options: PrepareLatentsOptions, report: Report, load_vae: Callable[[str, bool], Any]
) -> "tuple[VaeEncoder, str, str]":
    """The encoder, its precision, and the hash of the VAE."""
    loaded = load_vae(options.files.model_name_or_path, options.files.v2)
    # Later than the model's name is looked at: this imports torch.
    from sd_scripts.library.data.vae_encoder import VaeEncoder, best_device, usable_precision

    device = best_device()
    precision = usable_precision(options.caching.mixed_precision, device)
    if precision != options.caching.mixed_precision:
        report.notice(
            "--mixed_precision fp16 needs a GPU. On this CPU the latents are made in float32: they are exact."
        )
    return VaeEncoder(loaded.module, precision, device), precision, loaded.hash


def _matched(pictures: dict[str, Path], entries: Metadata, files: LatentsFilesOptions) -> dict[Path, str]:
    """{picture: its key in the metadata}. Errors: BadOption, when none of the pictures is in it."""
    # Full paths are compared as paths: "./a/b.png" and "/here/a/b.png" may name one file.
    names = {os.path.abspath(key): key for key in entries} if files.full_path else {key: key for key in entries}
    # A .jsonl file may name pictures with their ending.
    given = {image: key if key in names else image.name for key, image in pictures.items()}
    found = {image: names[name] for image, name in given.items() if name in names}
    if found:
        return found
    picture, option = next(iter(pictures)), "in_json"
    advice = "Name the metadata file that was made of this folder."
    if not entries:
        raise BadOption(option, f"in_json {files.in_json} has no entries. Make it with the merge stages first.")
    if not files.full_path and any(os.path.isabs(key) for key in entries):
        option, advice = "full_path", "Add --full_path: the metadata names pictures by their full path."
    elif files.full_path and any(image.stem in entries for image in pictures.values()):
        option, advice = "full_path", "Leave out --full_path: the metadata names pictures without their folder."
    raise BadOption(
        option,
        f"None of the {len(pictures):,} pictures in {files.train_data_dir} is in {files.in_json}: it has "
        f'"{next(iter(entries))}" and the like, not "{picture}". {advice}',
    )


def _missing(entries: Metadata, keys: dict[Path, str], files: LatentsFilesOptions) -> int:
    """Entries that belong to this folder and have no picture in it; those of other folders are not counted."""
    left = set(entries) - set(keys.values())
    if not files.full_path:
        return len(left)
    folder = Path(files.train_data_dir).absolute()
    paths = (Path(os.path.abspath(key)) for key in left)
    return sum(folder in path.parents if files.recursive else folder == path.parent for path in paths)


def _refuse_mirror_names(images: list[Path]) -> None:
    by_stem = {image.with_suffix(""): image for image in images}
    for image in images:
        twin = by_stem.get(flip_path(image).with_suffix(""))
        if twin:
            raise BadOption(
                "flip_aug",
                f"--flip_aug: the mirror image of {image} would lie where the latents of {twin} lie. Rename one.",
            )


def _first(report: Report) -> str:
    item, reason = report.failures[0]
    return f"The first one, {item}: {reason}."


def _stopped(stage: LatentsStage, report: Report) -> None:
    done = stage.counts["made"] + stage.counts["kept"]
    sentence = f"Stopped: {done:,} pictures have their latents. Run it again with --skip_existing to go on."
    report.say(sentence)
    report.emit(events.Stopped(sentence=sentence))
