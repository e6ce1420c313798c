"""The latents stage: pictures into buckets, latents beside them, sizes into the metadata. Imports torch late."""

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library import events
from sd_scripts.library.data.buckets import LATENT_PX, BucketRules, Size, checked_rules, parse_resolution
from sd_scripts.library.data.images import UnreadableImage, find_images, image_size
from sd_scripts.library.data.latents import CachedLatents, flip_path, plain_path, write_latents
from sd_scripts.library.data.reading import read_ahead
from sd_scripts.library.data.ready import Ready, Wanted, make_ready, too_small
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable
from sd_scripts.library.io.metadata import Metadata, keys_of, read_metadata, write_metadata
from sd_scripts.library.report import Report
from sd_scripts.options.latents import LatentsFilesOptions, PrepareLatentsOptions

if TYPE_CHECKING:
    from sd_scripts.library.data.encode import VaeEncoder

_SWITCHES = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def prepare_latents(options: PrepareLatentsOptions, report: Report, load_vae: Callable[[str, bool], Any]) -> None:
    """The stage's work. `load_vae(name_or_path, v2)` gives an object with `module` (the VAE) and `hash`.

    Errors: BadOption and BadFile before work starts; NothingUsable, when no picture could be used.
    """
    files = options.files
    rules, alpha_mask = _rules(options), _switch(options.caching.alpha_mask)
    if files.recursive and not files.full_path:
        raise BadOption("recursive", "--recursive needs --full_path, so that pictures of several folders keep apart.")
    entries = read_metadata(files.in_json)
    pictures = keys_of(find_images(files.train_data_dir, files.recursive), files.full_path)
    if options.caching.flip_aug:
        _refuse_mirror_names(list(pictures.values()))
    keys = _matched(pictures, entries, files)
    _check_writable(Path(files.out_json))

    report.phase("load_model", f"Loading the VAE of {files.model_name_or_path}")
    encoder, precision, vae_hash = _load(options, report, load_vae)
    wanted = Wanted(
        rules, vae_hash, precision, options.caching.flip_aug, alpha_mask, keep_fitting=options.caching.skip_existing
    )
    stage = LatentsStage(wanted, encoder, options.loading.batch_size, report)
    if not stage.run(list(keys), options.loading.max_data_loader_n_workers):
        return _stopped(stage, report)
    if not stage.sizes:
        raise NothingUsable(f"None of the {len(keys):,} pictures in {files.train_data_dir} could be used. {_first(report)}")
    report.phase("write", f"Writing {files.out_json}")
    write_metadata(files.out_json, with_sizes(entries, keys, stage.sizes))
    report.saved(Path(files.out_json), "metadata")
    missing = _missing(entries, keys, files)
    counts = {"not_in_metadata": len(pictures) - len(keys), "without_picture": missing}
    report.summary(stage.told(**counts), {"buckets": stage.table()}, **stage.counts, **counts)


@dataclass
class LatentsStage:
    """Makes the latents of pictures, bucket by bucket, and keeps account of it."""

    wanted: Wanted
    encoder: "VaeEncoder"
    batch_size: int
    report: Report
    sizes: dict[Path, Size] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=lambda: Counter(made=0, kept=0))
    again: Counter[str] = field(default_factory=Counter)
    _errors: dict[Size, list[float]] = field(default_factory=lambda: defaultdict(list))

    def run(self, images: list[Path], workers: int | None) -> bool:
        """Makes the latents of all of them; False when it was stopped before its end."""
        ordered = self._by_bucket(images)
        if self.report.stop_asked():
            return False
        self.report.phase("encode", f"Making latents of {len(ordered):,} pictures", len(ordered))
        waiting: list[Ready] = []
        for done, one in enumerate(read_ahead(ordered, partial(make_ready, self.wanted), workers), 1):
            if one.result is None:
                self.report.failed_item(one.item, one.reason)
            elif one.result.pixels_HWC is None:
                self._note(one.result, "kept")
            else:
                waiting = self._add(waiting, one.result)
            self.report.progress(done, len(ordered))
            if done < len(ordered) and self.report.stop_asked():
                self._make(waiting)
                return False
        self._make(waiting)
        return True

    def table(self) -> list[dict[str, Any]]:
        """The buckets that hold pictures: width, height, images, mean_aspect_error."""
        return [
            {"width": w, "height": h, "images": len(errors), "mean_aspect_error": round(sum(errors) / len(errors), 4)}
            for (w, h), errors in sorted(self._errors.items())
        ]

    def told(self, not_in_metadata: int, without_picture: int) -> str:
        """The end of the work in words."""
        left_out = len(self.report.failures)
        lines = [f"Latents: {self.counts['made']:,} made, {self.counts['kept']:,} kept, {left_out:,} left out."]
        lines += [f"  {count:,} made again: {reason}" for reason, count in sorted(self.again.items())]
        if not_in_metadata:
            lines.append(f"  {not_in_metadata:,} pictures are not in the metadata: no latents were made of them.")
        if without_picture:
            lines.append(f"  {without_picture:,} entries of the metadata have no picture here: they are kept as they are.")
        lines.append(f"{'bucket':>12}{'images':>10}   mean aspect error")
        for row in self.table():
            size = f"{row['width']} x {row['height']}"
            lines.append(f"{size:>12}{row['images']:>10,}   {row['mean_aspect_error']:.4f}")
        return "\n".join(lines)

    def _by_bucket(self, images: list[Path]) -> list[Path]:
        """The readable pictures, those of one bucket together."""
        self.report.phase("sizes", f"Reading the sizes of {len(images):,} pictures", len(images))
        found: list[tuple[Size, Path]] = []
        for image in self.report.each(images, len(images)):
            try:
                fit = self.wanted.rules.fit(image_size(image))
            except UnreadableImage as error:
                self.report.failed_item(image, str(error))
                continue
            if fit is None:
                self.report.failed_item(image, too_small(self.wanted.rules.step_px))
            else:
                found.append((fit.bucket_px, image))
        return [image for _, image in sorted(found)]

    def _add(self, waiting: list[Ready], ready: Ready) -> list[Ready]:
        """Puts a picture to those that wait; a full batch, or one of another bucket, is encoded first."""
        if waiting and waiting[0].made_from.fit.bucket_px != ready.made_from.fit.bucket_px:
            self._make(waiting)
            waiting = []
        waiting.append(ready)
        if len(waiting) < self.batch_size:
            return waiting
        self._make(waiting)
        return []

    def _make(self, batch: list[Ready]) -> None:
        import numpy as np

        if not batch:
            return
        images_BHWC = np.stack([ready.pixels_HWC for ready in batch])
        hashes = [ready.made_from.content_hash for ready in batch]
        plain_BCHW = self.encoder.encode(images_BHWC, hashes)
        mirrored_BCHW = self.encoder.encode(images_BHWC, hashes, mirrored=True) if self.wanted.flip else plain_BCHW
        for place, ready in enumerate(batch):
            if not (np.isfinite(plain_BCHW[place]).all() and np.isfinite(mirrored_BCHW[place]).all()):
                self.report.failed_item(ready.image, "its latents are not finite numbers; use --mixed_precision no")
                continue
            if self.wanted.flip:
                mask_HW = None if ready.alpha_mask_HW is None else ready.alpha_mask_HW[:, ::-1]
                mirrored = CachedLatents(mirrored_BCHW[place], ready.made_from, mask_HW)
                write_latents(flip_path(ready.image), mirrored)
            # The plain file comes last: with it there, everything of this picture is.
            write_latents(plain_path(ready.image), CachedLatents(plain_BCHW[place], ready.made_from, ready.alpha_mask_HW))
            self._note(ready, "made")

    def _note(self, ready: Ready, how: str) -> None:
        made_from = ready.made_from
        self.counts[how] += 1
        if ready.misfit:
            self.again[ready.misfit] += 1
        self.sizes[ready.image] = made_from.fit.bucket_px
        self._errors[made_from.fit.bucket_px].append(made_from.fit.aspect_error(made_from.original_px))
        if not self.wanted.flip:
            _remove_stale_mirror(ready.image)


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


def _rules(options: PrepareLatentsOptions) -> BucketRules:
    buckets = options.buckets
    rules = BucketRules(
        parse_resolution(options.caching.max_resolution, "max_resolution"),
        buckets.min_bucket_reso,
        buckets.max_bucket_reso,
        buckets.bucket_reso_steps,
        buckets.bucket_no_upscale,
    )
    return checked_rules(rules, "max_resolution")


def _switch(text: str) -> bool:
    if text.strip().lower() not in _SWITCHES:
        raise BadOption("alpha_mask", f'--alpha_mask "{text}" is neither yes nor no. Write 1 for yes, or leave it out.')
    return _SWITCHES[text.strip().lower()]


def _load(
    options: PrepareLatentsOptions, report: Report, load_vae: Callable[[str, bool], Any]
) -> "tuple[VaeEncoder, str, str]":
    """The encoder, its precision, and the hash of the VAE."""
    from sd_scripts.library.data.encode import VaeEncoder, best_device, usable_precision

    loaded = load_vae(options.files.model_name_or_path, options.files.v2)
    device = best_device()
    precision = usable_precision(options.caching.mixed_precision, device)
    if precision != options.caching.mixed_precision:
        report.notice("--mixed_precision fp16 needs a GPU. On this CPU the latents are made in float32, which is exact.")
    return VaeEncoder(loaded.module, precision, device), precision, loaded.hash


def _matched(pictures: dict[str, Path], entries: Metadata, files: LatentsFilesOptions) -> dict[Path, str]:
    """{picture: its key in the metadata}. Errors: BadOption, when none of the pictures is in it."""
    # Full paths are compared as paths: "./a/b.png" and "/here/a/b.png" may name one file.
    names = {os.path.abspath(key): key for key in entries} if files.full_path else {key: key for key in entries}
    found = {image: names[key] for key, image in pictures.items() if key in names}
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
    parents = (Path(os.path.abspath(key)) for key in left)
    return sum(folder in path.parents if files.recursive else folder == path.parent for path in parents) - sum(
        os.path.exists(key) for key in left
    )


def _refuse_mirror_names(images: list[Path]) -> None:
    known = set(images)
    by_stem = {image.with_suffix(""): image for image in known}
    for image in images:
        twin = by_stem.get(flip_path(image).with_suffix(""))
        if twin:
            raise BadOption("flip_aug", f"--flip_aug: the mirror image of {image} would lie where the latents of {twin} do. Rename one.")


def _remove_stale_mirror(image: Path) -> None:
    """Mirrored latents would be trained: where they are no longer wanted they go."""
    mirror = flip_path(image)
    if mirror.is_file() and not any(mirror.with_suffix(suffix).exists() for suffix in _picture_suffixes()):
        mirror.unlink()


def _picture_suffixes() -> list[str]:
    from sd_scripts.library.data.images import IMAGE_SUFFIXES

    return [*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)]


def _check_writable(out: Path) -> None:
    """Hours of work must not end in a file that cannot be written. Errors: BadOption, BadFile."""
    if out.is_dir():
        raise BadOption("out_json", f"out_json {out} is a folder. Name a file, such as {out / 'meta_lat.json'}.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise BadFile(f"Cannot write {out}: {error.strerror or error}. Choose a place that can be written to.") from error


def _first(report: Report) -> str:
    item, reason = report.failures[0]
    return f"The first one, {item}: {reason}."


def _stopped(stage: LatentsStage, report: Report) -> None:
    done = stage.counts["made"] + stage.counts["kept"]
    sentence = f"Stopped: {done:,} pictures have their latents. Run it again with --skip_existing to go on."
    report.say(sentence)
    report.emit(events.Stopped(sentence=sentence))
