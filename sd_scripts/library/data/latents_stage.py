"""Makes the latents of many pictures, bucket by bucket, and keeps account of it. Needs no torch itself."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library.data.buckets import Fit, Size, too_small
from sd_scripts.library.data.images import IMAGE_SUFFIXES, UnreadableImage
from sd_scripts.library.data.known_files import KnownFiles
from sd_scripts.library.data.late_writing import LateMaking, Work
from sd_scripts.library.data.latents import CachedLatents, flip_path, plain_path, write_latents
from sd_scripts.library.data.latents_worker import Ready, Wanted, make_ready
from sd_scripts.library.data.read_ahead import Prepared, memory_kept, read_ahead, read_in_threads
from sd_scripts.library.errors import BadFile
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted

if TYPE_CHECKING:
    import numpy as np

    from sd_scripts.library.data.vae_encoder import VaeEncoder

NEEDLESS = "those that were there would do; --skip_existing keeps such latents"
"""Why latents were made again that nobody asked to keep."""


@dataclass
class LatentsStage:
    """Makes the latents of pictures, bucket by bucket, and keeps account of it."""

    wanted: Wanted
    encoder: "VaeEncoder"
    batch_size: int
    report: Report
    known: KnownFiles = field(default_factory=KnownFiles)
    sizes: dict[Path, Size] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=lambda: Counter(made=0, kept=0))
    again: Counter[str] = field(default_factory=Counter)
    _fitting: set[Path] = field(default_factory=set)
    _errors: dict[Size, list[float]] = field(default_factory=lambda: defaultdict(list))
    _making: "LateMaking[Ready]" = field(init=False)

    def run(self, images: list[Path], workers: int | None) -> bool:
        """Makes the latents of all of them; False when it was stopped before its end."""
        self._making = LateMaking(self._written)
        try:
            # The VAE, too, finds its memory kept from batch to batch.
            with memory_kept():
                return self._run(images, workers)
        finally:
            try:
                self._making.settle()
            finally:
                self._making.close()
                self.report.team.in_turn(self.known.keep)

    def gather(self) -> None:
        """Takes in what the other processes have done with their shares; all call it together."""
        parts = self.report.team.gather((self.sizes, self.counts, self.again, dict(self._errors)))
        for sizes, counts, again, errors in parts[: self.report.team.rank] + parts[self.report.team.rank + 1 :]:
            self.sizes |= sizes
            self.counts.update(counts)
            self.again.update(again)
            for size, found in errors.items():
                self._errors[size] += found
        self.report.gather_failures()

    def _run(self, images: list[Path], workers: int | None) -> bool:
        ordered = self._by_bucket(images)
        if self.report.stop_asked():
            return False
        self.report.phase("encode", f"Making latents of {counted(len(ordered), 'picture')}", len(ordered))
        waiting: list[Ready] = []
        for done, one in enumerate(self._read(ordered, workers), 1):
            if one.result is None:
                self.report.failed_item(one.item, one.reason)
            elif one.result.pixels_HWC is None:
                self._keep(one.result)
            else:
                waiting = self._add(waiting, one.result)
            self.report.progress(done, len(ordered))
            if done < len(ordered) and self.report.stop_asked():
                self._make(waiting)
                return False
        self._make(waiting)
        return True

    def _read(self, ordered: list[Path], workers: int | None) -> Iterator[Prepared[Path, Ready]]:
        """By threads beside a CPU, and by processes beside a GPU, for which Python is kept busy."""
        prepare = partial(make_ready, self.wanted)
        if workers == 0 or not ordered or self.encoder.device.type != "cpu":
            return read_ahead(ordered, prepare, workers)
        return read_in_threads(ordered, prepare, workers, self.batch_size)

    def table(self) -> list[dict[str, Any]]:
        """The buckets that hold pictures: width, height, images, mean_aspect_error."""
        return [
            {"width": w, "height": h, "images": len(errors), "mean_aspect_error": round(sum(errors) / len(errors), 4)}
            for (w, h), errors in sorted(self._errors.items())
        ]

    def told(self, not_in_metadata: int, without_picture: int) -> str:
        """The end of the work in words."""
        left_out = self.report.failed
        lines = [f"Latents: {self.counts['made']:,} made, {self.counts['kept']:,} kept, {left_out:,} left out."]
        if not self.known.trusting:
            lines.append("  Every picture was read again, and all of the latents that were there.")
        lines += [f"  {count:,} made again: {reason}" for reason, count in sorted(self.again.items())]
        if not_in_metadata:
            lines.append(
                f"  Pictures that the metadata lacks, so that no latents were made of them: {not_in_metadata:,}"
            )
        if without_picture:
            lines.append(
                f"  Entries of the metadata without a picture here, which stay as they are: {without_picture:,}"
            )
        lines.append(f"{'bucket':>12}{'images':>10}   mean aspect error")
        for row in self.table():
            size = f"{row['width']} x {row['height']}"
            lines.append(f"{size:>12}{row['images']:>10,}   {row['mean_aspect_error']:.4f}")
        return "\n".join(lines)

    def _by_bucket(self, images: list[Path]) -> list[Path]:
        """The readable pictures that must be looked at, those of one bucket together."""
        self.report.phase("sizes", f"Reading the sizes of {counted(len(images), 'picture')}", len(images))
        found: list[tuple[Size, Path]] = []
        for image in self.report.each(images, len(images)):
            try:
                size_px = self.known.size_of(image)
            except UnreadableImage as error:
                self.report.failed_item(image, str(error))
                continue
            fit = self.wanted.rules.fit(size_px)
            if fit is None:
                self.report.failed_item(image, too_small(self.wanted.rules.step_px))
                continue
            fits = self._known_to_fit(image, fit)
            if fits and self.wanted.keep_fitting:
                self._note(image, size_px, fit, "kept")
                continue
            if fits:
                self._fitting.add(image)
            found.append((fit.bucket_px, image))
        return [image for _, image in sorted(found)]

    def _known_to_fit(self, image: Path, fit: Fit) -> bool:
        """Whether neither the picture nor its latents have changed since they were found to fit."""
        content = self.known.known_hash(image)
        files = self.wanted.files(image, fit).items()
        return bool(content) and all(self.known.answers(path, asked.question(content)) for path, asked in files)

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
        """Has a batch encoded, and while that goes on has what was encoded before written."""
        import numpy as np

        if not batch:
            return
        images_BHWC = np.stack([ready.pixels_HWC for ready in batch])
        hashes = [ready.made_from.content_hash for ready in batch]
        plain = self.encoder.begin(images_BHWC, hashes)
        mirrored = self.encoder.begin(images_BHWC, hashes, mirrored=True) if self.wanted.flip else plain
        self._making.add(partial(self._ended, batch, plain, mirrored))

    def _ended(
        self, batch: list[Ready], plain: "Callable[[], np.ndarray]", mirrored: "Callable[[], np.ndarray]"
    ) -> list[Work[Ready]]:
        """What is to be written of a batch, by what gives its latents_BCHW."""
        import numpy as np

        plain_BCHW = plain()
        mirrored_BCHW = mirrored() if self.wanted.flip else plain_BCHW
        works = []
        for place, ready in enumerate(batch):
            if np.isfinite(plain_BCHW[place]).all() and np.isfinite(mirrored_BCHW[place]).all():
                works.append(Work(ready, partial(self._write, ready, plain_BCHW[place], mirrored_BCHW[place])))
            else:
                self.report.failed_item(ready.image, "its latents are not finite numbers; use --mixed_precision no")
        return works

    def _written(self, work: Work[Ready], error: Exception | None) -> None:
        ready = work.item
        try:
            if error is not None:
                # Once more, and from here: only this thread may wait for the place.
                patiently(self.report, ready.image, work.write)
        except BadFile as refused:
            self.report.failed_item(ready.image, str(refused))
        else:
            self._keep(ready, written=True)

    def _write(self, ready: Ready, plain_CHW: "np.ndarray", mirrored_CHW: "np.ndarray") -> None:
        """Errors: BadFile."""
        if self.wanted.flip:
            mask_HW = None if ready.alpha_mask_HW is None else ready.alpha_mask_HW[:, ::-1]
            write_latents(flip_path(ready.image), CachedLatents(mirrored_CHW, ready.made_from, mask_HW))
        # The plain file comes last: with it there, everything of this picture is.
        write_latents(plain_path(ready.image), CachedLatents(plain_CHW, ready.made_from, ready.alpha_mask_HW))

    def _keep(self, ready: Ready, written: bool = False) -> None:
        """Counts a picture whose latents are there now, and keeps what was found of its files."""
        made_from = ready.made_from
        self.known.put_picture(ready.image, ready.stamps[ready.image], made_from.original_px, made_from.content_hash)
        for path, asked in self.wanted.files(ready.image, made_from.fit).items():
            question = asked.question(made_from.content_hash)
            if written:
                self.known.note_written(path, question)
            else:
                self.known.note(path, ready.stamps[path], question)
        if reason := NEEDLESS if ready.image in self._fitting else ready.misfit:
            self.again[reason] += 1
        self._note(ready.image, made_from.original_px, made_from.fit, "made" if written else "kept")

    def _note(self, image: Path, size_px: Size, fit: Fit, how: str) -> None:
        self.counts[how] += 1
        self.sizes[image] = fit.bucket_px
        self._errors[fit.bucket_px].append(fit.aspect_error(size_px))
        if not self.wanted.flip:
            _remove_stale_mirror(image)


def _remove_stale_mirror(image: Path) -> None:
    """Mirrored latents would be trained: where they are no longer wanted they go."""
    mirror = flip_path(image)
    suffixes = [*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)]
    # They may also be those of a picture that is itself called <stem>_flip.
    if mirror.is_file() and not any(mirror.with_suffix(suffix).exists() for suffix in suffixes):
        mirror.unlink()
