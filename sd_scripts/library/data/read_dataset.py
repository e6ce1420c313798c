"""Reads the pictures of all datasets, and says what of them cannot be trained. Needs no torch itself."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sd_scripts.library.data.dataset_class import make_custom_data
from sd_scripts.library.data.dataset_options import DataSettings, asked_datasets, unused_options
from sd_scripts.library.data.dreambooth import left_out
from sd_scripts.library.data.folder_subset import FolderReader
from sd_scripts.library.data.held_out import split
from sd_scripts.library.data.idle import idle_prepared, idle_sizes
from sd_scripts.library.data.latents_files import Check, LatentsFinder
from sd_scripts.library.data.metadata_subset import MetadataReader
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.regularisation import balanced_repeats
from sd_scripts.library.data.subset_reader import Picture, SubsetReader
from sd_scripts.library.data.subsets import Dataset, Subset, told_of
from sd_scripts.library.data.training_data import TrainingData
from sd_scripts.library.report import Report, counted
from sd_scripts.options.data import DataOptions, DreamBoothDataOptions, ResolutionOptions

TELL_EVERY = 16
"""After so many pictures it is looked whether it is time to tell how far the reading is."""

KEPT_OBJECTS = 50_000
"""While pictures are read, it is looked after so many new objects whether any can be given back."""


def open_data(
    options: DataSettings,
    report: Report,
    vae_hash: str | None = None,
    latents_suffix: str = "sd",
    precision: str | None = None,
) -> TrainingData:
    """The training data of a script: of the options' datasets, or of a class of the user's own.

    `latents_suffix`: sd or sdxl, what stands in the names of latents on disk. `precision`: that of the VAE at work.

    Errors: BadOption, BadFile, NothingUsable.
    """
    if options.data.dataset_class:
        return make_custom_data(options.data.dataset_class, options, report, options.length.seed or 0)
    return read_data(options, report, vae_hash, latents_suffix, precision)


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Python looks for what can be given back after every 700 objects: here nearly all are kept, maybe millions."""
    usual = gc.get_threshold()
    gc.set_threshold(max(usual[0], KEPT_OBJECTS) if usual[0] else 0, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@_rarely_collecting()
def read_data(
    options: DataSettings,
    report: Report,
    vae_hash: str | None = None,
    latents_suffix: str = "sd",
    precision: str | None = None,
) -> PictureData:
    """The data that the options ask for. Latents that say they come from another VAE are not used.

    Errors: BadOption, BadFile, when there is nothing to read; NothingUsable, when nothing of it can be trained.
    """
    unused = unused_options(options.data) if options.data.dataset_config else []
    if unused:
        report.notice(f"{' and '.join(unused)}: not used, since --dataset_config names the pictures.", "warning")
    datasets = asked_datasets(options)
    if not options.data.dataset_config and not datasets[0].subsets[0].metadata_file:
        _say_left_out(options.data, report)
    for sentence in idle_sizes(options, datasets):
        report.notice(sentence, "warning")
    made_in = precision if options.resolution.cache_latents_to_disk else None
    finder = LatentsFinder(vae_hash, latents_check(options.resolution), latents_suffix, made_in)
    readers = [
        _reader(place, dataset, subset, finder, report)
        for place, dataset in enumerate(datasets)
        for subset in dataset.subsets
    ]
    if not options.data.dataset_config and all(reader.prepared for reader in readers):
        for sentence in idle_prepared(options):
            report.notice(sentence, "warning")
    _read_all(readers, report)
    parts = [_of_dataset(place, dataset, readers, report) for place, dataset in enumerate(datasets)]
    pictures, held_out = ([picture for part in parts for picture in part[which]] for which in (0, 1))
    with_latents = sum(picture.latents.plain is not None for picture in pictures)
    told = f", {with_latents:,} of them with latents" if latents_suffix else ""
    report.say(f"{counted(len(pictures), 'picture')} to train{told}.")
    _tell_latents(readers, options.resolution, finder, report)
    finder.known.keep()
    weight = _prior_weight(options.data, pictures, report)
    if not held_out:
        return PictureData(datasets, pictures, weight, finder)
    report.say(f"{len(held_out):,} more are held out: they are looked at, and not learnt.")
    return PictureData(datasets, pictures, weight, finder, PictureData(datasets, held_out, weight, finder))


def _prior_weight(data: DataOptions, pictures: list[Picture], report: Report) -> float:
    """How much the loss of a regularisation picture counts."""
    if not isinstance(data, DreamBoothDataOptions):
        return 1.0
    if data.prior_loss_weight != 1.0 and not any(picture.subset.is_reg for picture in pictures):
        text = "--prior_loss_weight changes nothing without regularisation pictures (--reg_data_dir)."
        report.notice(text, "warning")
    return data.prior_loss_weight


def _say_left_out(data: DataOptions, report: Report) -> None:
    """Folders that a user may have meant to be trained."""
    parents = [data.train_data_dir, data.reg_data_dir] if isinstance(data, DreamBoothDataOptions) else []
    for parent in filter(None, parents):
        if names := left_out(parent):
            advice = 'Name them repeats_words, such as "10_sks dog", to train them.'
            report.notice(f"Not read in {parent}: {', '.join(names)}. {advice}", "warning")


def latents_check(resolution: ResolutionOptions) -> Check:
    """How closely latents files are looked at."""
    if resolution.skip_cache_check:
        return "size"
    return "everything" if resolution.verify_cache else "changes"


def _tell_latents(
    readers: list[SubsetReader], resolution: ResolutionOptions, finder: LatentsFinder, report: Report
) -> None:
    """How many latents are used, and why others are not."""
    misfits = sum((reader.misfits for reader in readers), Counter[str]())
    fitting = sum(picture.latents.plain is not None for reader in readers for picture in reader.pictures)
    if finder.check == "everything" and finder.suffix:
        told = f"{fitting:,} are right, {misfits.total():,} are not"
        report.notice(f"Verified: pictures and latents were read again as a whole; {told}.")
    if not misfits:
        return
    reasons = ", ".join(f"{count:,} as {misfit}" for misfit, count in misfits.most_common())
    made = resolution.cache_latents or resolution.cache_latents_to_disk
    fate = "made anew" if made else "encoded each time they are shown"
    changing = any(reader.subset.pictures.changing for reader in readers)
    text = f"Latents on disk: {fitting:,} fit, {misfits.total():,} {fate}: {reasons}."
    if not (made or changing):
        text = f"{text} --cache_latents_to_disk makes them once."
    report.notice(text, "warning")


def _reader(place: int, dataset: Dataset, subset: Subset, finder: LatentsFinder, report: Report) -> SubsetReader:
    kind = FolderReader if subset.metadata_file is None else MetadataReader
    with told_of(subset.where):
        return kind(place, dataset, subset, finder, report)


def _read_all(readers: list[SubsetReader], report: Report) -> None:
    total = sum(reader.total for reader in readers)
    kinds = {reader.noun for reader in readers}
    what = "entries of the metadata" if kinds == {"entries"} else "pictures"
    report.phase("dataset", f"Reading {total:,} {what}", total)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done % TELL_EVERY == 0 or done == total:
            report.progress(done, total)

    for reader in readers:
        with told_of(reader.subset.where):
            reader.read(advance)
    for reader in readers:
        with told_of(reader.subset.where):
            reader.finish(named=len(readers) > 1)


def _of_dataset(
    place: int, dataset: Dataset, readers: list[SubsetReader], report: Report
) -> tuple[list[Picture], list[Picture]]:
    """The pictures of a dataset that are learnt, and those that are held out. Errors: BadOption."""
    pictures = [picture for reader in readers if reader.place == place for picture in reader.pictures]
    training, held_out = split([picture for picture in pictures if not picture.subset.is_reg], dataset)
    regularising = [picture for picture in pictures if picture.subset.is_reg]
    return training + _balanced(place, training, regularising, report), held_out


def _balanced(place: int, training: list[Picture], regularising: list[Picture], report: Report) -> list[Picture]:
    """Regularisation pictures, shown as often as all the others."""
    if not regularising:
        return []
    wanted = sum(picture.repeats for picture in training)
    shown = balanced_repeats([picture.repeats for picture in regularising], wanted)
    about = f"{wanted:,} showings of training pictures, {sum(shown):,} of regularisation pictures"
    unused = shown.count(0)
    text = f"{about}; {unused:,} of those {len(shown):,} are too many and are not shown." if unused else f"{about}."
    report.notice(f"Dataset {place + 1}: {text}", "warning" if unused else "info")
    return [replace(picture, repeats=count) for picture, count in zip(regularising, shown, strict=True) if count]
