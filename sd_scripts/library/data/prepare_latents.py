"""The latents stage: pictures into buckets, latents beside them, sizes into the metadata. Imports torch late."""

import os
from collections.abc import Callable, Iterable
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
from sd_scripts.library.data.read_ahead import let_threads_sleep
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.io.metadata import Entries, check_out_json, keys_of, read_entries, write_entries
from sd_scripts.library.pausing import patiently
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
    wanted = Wanted(rules, vae_hash, precision, caching.flip_aug, alpha_mask, keeps, way, caching.fast_decode)
    known = KnownFiles(trusting=not caching.verify_cache)
    stage = LatentsStage(wanted, encoder, options.loading.batch_size, report, known)
    done = stage.run(report.team.share(list(found.keys)), options.loading.max_data_loader_n_workers)
    stage.gather()
    if all(report.team.gather(done)):
        _finish(stage, found, options.files, report)
    else:
        _stopped(stage, report)


@dataclass(frozen=True)
class _Found:
    """The number of pictures in the folder, {picture: its key in the metadata}, and entries without a picture."""

    pictures: int
    keys: dict[Path, str]
    without_picture: int


def _find(options: PrepareLatentsOptions) -> _Found:
    files = options.files
    if files.recursive and not files.full_path:
        raise BadOption("recursive", "--recursive needs --full_path, so that pictures of several folders keep apart.")
    entries = read_entries(files.in_json)
    pictures = keys_of(find_images(files.train_data_dir, files.recursive), files.full_path)
    if options.caching.flip_aug:
        _refuse_mirror_names(list(pictures.values()))
    return _matched(pictures, (key for key, _ in entries), files)


def _finish(stage: LatentsStage, found: _Found, files: LatentsFilesOptions, report: Report) -> None:
    """Writes the metadata and says how it went. Errors: NothingUsable."""
    if not stage.sizes:
        none = f"None of the {len(found.keys):,} pictures in {files.train_data_dir} could be used."
        raise NothingUsable(f"{none} {_first(report)}")
    report.phase("write", f"Writing {files.out_json}")

    def write() -> None:
        write_entries(files.out_json, with_sizes(read_entries(files.in_json), found.keys, stage.sizes))

    if report.team.first:
        patiently(report, Path(files.out_json), write)
        report.saved(Path(files.out_json), "metadata")
    counts = {"not_in_metadata": found.pictures - len(found.keys), "without_picture": found.without_picture}
    report.summary(stage.told(**counts), {"buckets": stage.table()}, **stage.counts, **counts)


def with_sizes(entries: Entries, keys: dict[Path, str], sizes: dict[Path, Size]) -> Entries:
    """The entries with train_resolution, floored to what a latent covers; a picture left out now has none."""
    pictures = {key: image for image, key in keys.items()}
    for key, entry in entries:
        if key in pictures:
            entry.pop("train_resolution", None)
            if size := sizes.get(pictures[key]):
                entry["train_resolution"] = [side // LATENT_PX * LATENT_PX for side in size]
        yield key, entry


def _switch(text: str) -> bool:
    if text.strip().lower() not in _SWITCHES:
        raise BadOption("alpha_mask", f'--alpha_mask "{text}" is neither yes nor no. Write 1 for yes, or leave it out.')
    return _SWITCHES[text.strip().lower()]


def _load(
    options: PrepareLatentsOptions, report: Report, load_vae: Callable[[str, bool], Any]
) -> "tuple[VaeEncoder, str, str]":
    """The encoder, its precision, and the hash of the VAE."""
    let_threads_sleep()
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


def _matched(pictures: dict[str, Path], entries: Iterable[str], files: LatentsFilesOptions) -> _Found:
    """Which picture belongs to which of the metadata's keys. Errors: BadOption, when none of the pictures is in it."""
    # A .jsonl file may name pictures with their ending.
    named = {image.name: image for image in pictures.values()} | pictures
    found: dict[Path, str] = {}
    missing, first = 0, ""
    for key in entries:
        first = first or key
        # Full paths are compared as paths: "./a/b.png" and "/here/a/b.png" may name one file.
        name = os.path.abspath(key) if files.full_path else key
        if name in named:
            found[named[name]] = key
        else:
            missing += _belongs(name, files)
    if not found:
        raise _nothing_matched(pictures, first, files)
    return _Found(len(pictures), found, missing)


def _nothing_matched(pictures: dict[str, Path], first: str, files: LatentsFilesOptions) -> BadOption:
    """The sentence for metadata that names none of the folder's pictures; `first` is the first that it names."""
    picture, option = next(iter(pictures)), "in_json"
    advice = "Name the metadata file that was made of this folder."
    if not first:
        return BadOption(option, f"in_json {files.in_json} has no entries. Make it with the merge stages first.")
    if not files.full_path and os.path.isabs(first):
        option, advice = "full_path", "Add --full_path: the metadata names pictures by their full path."
    elif files.full_path and first in {image.stem for image in pictures.values()}:
        option, advice = "full_path", "Leave out --full_path: the metadata names pictures without their folder."
    return BadOption(
        option,
        f"None of the {len(pictures):,} pictures in {files.train_data_dir} is in {files.in_json}: it has "
        f'"{first}" and the like, not "{picture}". {advice}',
    )


def _belongs(name: str, files: LatentsFilesOptions) -> bool:
    """Whether an entry is of this folder: those of other folders lack no picture here."""
    if not files.full_path:
        return True
    folder, place = Path(files.train_data_dir).absolute(), Path(name)
    return folder in place.parents if files.recursive else folder == place.parent


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
