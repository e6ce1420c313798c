"""Reads the data of fine-tuning from a metadata file, and says what of it cannot be trained. Needs no torch itself."""

from collections import Counter
from pathlib import Path

from sd_scripts.library.data.buckets import LATENT_PX, BucketRules, Size, checked_rules, parse_resolution
from sd_scripts.library.data.caption_rules import CaptionRules
from sd_scripts.library.data.captions import training_text
from sd_scripts.library.data.dataset import FineTuneData, Showing
from sd_scripts.library.data.entries import PictureFolder, nothing_found
from sd_scripts.library.data.images import UnreadableImage, image_size
from sd_scripts.library.data.latents_files import LatentsFiles, LatentsFinder
from sd_scripts.library.data.ready import too_small
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable
from sd_scripts.library.io.metadata import Entry, Metadata, read_metadata
from sd_scripts.library.report import Report
from sd_scripts.options.data import CaptionOptions, FineTuneDataOptions, ResolutionOptions


def read_fine_tune_data(
    data: FineTuneDataOptions,
    captions: CaptionOptions,
    resolution: ResolutionOptions,
    report: Report,
    vae_hash: str | None = None,
) -> FineTuneData:
    """The data that the options name. `vae_hash`: latents that say they come from another VAE are made anew.

    Errors: BadOption, BadFile, when there is nothing to read; NothingUsable, when nothing of it can be trained.
    """
    if captions.caption_separator == "":
        raise BadOption("caption_separator", "--caption_separator must not be empty. Leave it out for a comma.")
    if data.in_json is None:
        raise BadOption("in_json", "--in_json is needed: the metadata file says which pictures are trained.")
    rules = rules_of(resolution)
    entries = read_metadata(data.in_json)
    if not entries:
        raise BadOption(
            "in_json", f"No data found: {data.in_json} has no entries. Make it with the merge stages first."
        )
    reader = _Reader(report, rules, vae_hash, PictureFolder(Path(data.train_data_dir) if data.train_data_dir else None))
    if rules is None and not any("train_resolution" in entry for entry in entries.values()):
        raise BadOption(
            "resolution",
            f"--resolution is needed, such as 512,512: {data.in_json} has no prepared sizes. "
            "Or make latents first, with prepare_buckets_latents.py.",
        )
    reader.read(entries)
    if not reader.places:
        raise nothing_found(list(entries), data.in_json, data.train_data_dir)
    if not reader.images:
        raise NothingUsable(f"No data found: {data.in_json} has {len(entries):,} entries, of which {reader.told()}.")
    reader.notices()
    shown = CaptionRules(captions.caption_separator, captions.shuffle_caption, captions.keep_tokens)
    return FineTuneData(reader.images, reader.latents, Showing(data.dataset_repeats, shown, rules))


def rules_of(options: ResolutionOptions) -> BucketRules | None:
    """The bucket rules of a training; None where no resolution is given. Errors: BadOption."""
    if options.resolution is None:
        return None
    rules = BucketRules(
        parse_resolution(options.resolution, "resolution"),
        options.min_bucket_reso,
        options.max_bucket_reso,
        options.bucket_reso_steps,
        options.bucket_no_upscale,
        one_size=not options.enable_bucket,
    )
    return checked_rules(rules, "resolution")


class _Reader:
    """Reads the entries one by one, and keeps account of those that cannot be trained."""

    def __init__(self, report: Report, rules: BucketRules | None, vae_hash: str | None, folder: PictureFolder) -> None:
        self.images: list[TrainImage] = []
        self.latents: list[LatentsFiles] = []
        self.places: set[Path] = set()
        self.counts: Counter[str] = Counter()
        self._misfits: Counter[str] = Counter()
        self._report = report
        self._rules = rules
        self._folder = folder
        self._finder = LatentsFinder(vae_hash)

    def read(self, entries: Metadata) -> None:
        self._report.phase("dataset", f"Reading {len(entries):,} entries of the metadata", len(entries))
        for done, (key, entry) in enumerate(entries.items(), 1):
            self._read_one(key, entry)
            self._report.progress(done, len(entries))

    def told(self) -> str:
        """What became of the entries that are left out, in words."""
        return ", ".join(f"{count:,} {what}" for what, count in self.counts.items())

    def notices(self) -> None:
        """Says what the user should know of the data."""
        report, without = self._report, sum(files.plain is None for files in self.latents)
        unnamed = self._folder.unnamed(self.places)
        report.say(f"{len(self.images):,} pictures to train, {len(self.images) - without:,} of them with latents.")
        if self.counts:
            report.notice(f"Entries left out: {self.told()}.", "warning")
        if unnamed:
            report.notice(
                f"Pictures of the folder that the metadata lacks, which are not trained: {unnamed:,}", "warning"
            )
        for misfit, count in sorted(self._misfits.items()):
            report.notice(f"Latents that are not used, because {misfit}: {count:,}. They are made anew.", "warning")

    def _read_one(self, key: str, entry: Entry) -> None:
        picture = self._folder.find(key)
        place = picture or self._folder.latents_place(key)
        if place is None or (picture is None and self._finder.any_of(place) is None):
            self._leave_out(key, "have no picture", "there is no picture of this name")
            return
        self.places.add(place)
        text = training_text(entry.get("caption", ""), entry.get("tags", ""))
        if not text:
            self.counts["have no text"] += 1
            return
        try:
            bucket_px = self._bucket(key, entry, place)
        except UnreadableImage as error:
            self._leave_out(place, "cannot be read", str(error))
            return
        files = self._finder.of(place, bucket_px)
        if picture is None and files.plain is None:
            self._leave_out(key, "have no picture", "there is no picture of this name, and no latents that fit")
            return
        if files.misfit:
            self._misfits[files.misfit] += 1
        self.images.append(TrainImage(key, place, text, bucket_px))
        self.latents.append(files)

    def _bucket(self, key: str, entry: Entry, picture: Path) -> Size:
        if "train_resolution" in entry:
            return prepared_size(key, entry)
        if self._rules is None:
            raise UnreadableImage("its size was not prepared, and no --resolution is given")
        fit = self._rules.fit(image_size(picture))
        if fit is None:
            raise UnreadableImage(too_small(self._rules.step_px))
        return fit.bucket_px

    def _leave_out(self, item: str | Path, what: str, reason: str) -> None:
        self.counts[what] += 1
        self._report.failed_item(item, reason)


def prepared_size(key: str, entry: Entry) -> Size:
    """The bucket that the metadata gives a picture. Errors: BadFile, when it is no size."""
    sides = entry["train_resolution"]
    if len(sides) != 2 or not all(isinstance(side, int) and side >= LATENT_PX for side in sides):
        raise BadFile(f'The metadata\'s entry "{key}" has the train_resolution {sides}, which is no width and height.')
    return sides[0] // LATENT_PX * LATENT_PX, sides[1] // LATENT_PX * LATENT_PX
