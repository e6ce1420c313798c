"""Which pictures a training shows, and in which buckets: counted as the trainer does it, without torch."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kohya_gui import found
from kohya_gui.draft import Draft
from sd_scripts.library.data.buckets import LATENT_PX, Size
from sd_scripts.library.data.captions import training_text
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.picture_folder import PictureFolder
from sd_scripts.library.data.regularisation import balanced_repeats
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.errors import UserError
from sd_scripts.library.io.metadata import Metadata
from sd_scripts.options.spec import from_values

Sizes = Iterator[Size | None]
"""The bucket of each picture that is trained; None where its size was not read yet."""

Measure = Callable[[Path], Sizes]


@dataclass(frozen=True)
class Source:
    """A metadata file or a folder: how many of its pictures are trained, and how often in an epoch all together."""

    name: str
    images: int
    shown: int
    is_reg: bool


@dataclass(frozen=True)
class Bucket:
    """Pictures that share batches: `shown` of them in an epoch. `size_px` None: sizes were not read."""

    size_px: Size | None
    shown: int
    batches: int


@dataclass(frozen=True)
class Counted:
    """What an epoch shows. `unread`: pictures whose sizes were not read yet."""

    unread: int
    sources: tuple[Source, ...]
    buckets: tuple[Bucket, ...]


def counted(draft: Draft) -> Counted | None:
    """What an epoch of a training shows; None as long as its options or files do not tell."""
    if draft.get("dataset_class"):
        return None
    try:
        datasets, reader = asked_datasets(from_values(draft.stage.options, draft.values)), found.SizeReader()
        told = [_of_dataset(draft, dataset, reader) for dataset in datasets]
    except (UserError, OSError, ValueError):
        return None
    sources = tuple(itertools.chain.from_iterable(sources for sources, _ in told))
    buckets = tuple(itertools.chain.from_iterable(buckets for _, buckets in told))
    return Counted(reader.unread, sources, buckets) if buckets else None


def _of_dataset(draft: Draft, dataset: Dataset, reader: found.SizeReader) -> tuple[list[Source], list[Bucket]]:
    """Training pictures of all subsets; regularisation pictures as often as those together."""
    sizes = [list(_sizes(draft, dataset, subset, reader)) for subset in dataset.subsets]
    parts = list(zip(dataset.subsets, sizes, strict=True))
    shown = [len(own) * (0 if subset.is_reg else subset.repeats) for subset, own in parts]
    reg = [(subset.repeats, size) for subset, own in parts if subset.is_reg for size in own]
    balanced = balanced_repeats([repeats for repeats, _ in reg], sum(shown))
    by_size: Counter[Size | None] = Counter()
    for subset, own in parts:
        by_size.update({size: count * subset.repeats for size, count in Counter(own).items() if not subset.is_reg})
    for (_, size), count in zip(reg, balanced, strict=True):
        by_size[size] += count
    left = iter(balanced)
    sources = [
        Source(subset.name, len(own), sum(itertools.islice(left, len(own))) if subset.is_reg else times, subset.is_reg)
        for (subset, own), times in zip(parts, shown, strict=True)
    ]
    batch = dataset.batch_size
    return sources, [Bucket(size, count, -(-count // batch)) for size, count in by_size.items() if count]


def _sizes(draft: Draft, dataset: Dataset, subset: Subset, reader: found.SizeReader) -> Sizes:
    folder = draft.roots.inside(subset.image_dir, "dataset_config", draft.base) if subset.image_dir else None
    if subset.metadata_file is None:
        return _of_folder(folder or Path(), subset, _measure(dataset, reader))
    path = draft.roots.inside(subset.metadata_file, "in_json", draft.base)
    entries = found.metadata_at(path) if path.is_file() and not draft.will_come(path) else {}
    if isinstance(entries, str):
        return iter(())
    return _of_metadata(entries, folder, dataset, subset, _measure(dataset, reader))


def _of_metadata(entries: Metadata, folder: Path | None, dataset: Dataset, subset: Subset, measure: Measure) -> Sizes:
    rules, shown = subset.captions, []
    for key, entry in entries.items():
        if training_text(entry.get("caption", ""), entry.get("tags", ""), rules.separator, rules.wildcards):
            shown.append((key, entry))
    is_new = any(dataset.own_sizes or "train_resolution" not in entry for _, entry in shown)
    looked_up = PictureFolder(folder) if is_new and dataset.rules else None
    for key, entry in shown:
        if "train_resolution" in entry and not dataset.own_sizes:
            width_px, height_px = entry["train_resolution"]
            yield width_px // LATENT_PX * LATENT_PX, height_px // LATENT_PX * LATENT_PX
        elif looked_up and (picture := looked_up.find(key)):
            yield from measure(picture)


def _of_folder(folder: Path, subset: Subset, measure: Measure) -> Sizes:
    for name in found.texted_in(folder, None if subset.class_tokens else subset.caption_extension):
        yield from measure(folder / name)


def _measure(dataset: Dataset, reader: found.SizeReader) -> Measure:
    """Gives a picture's bucket; nothing for one that cannot be trained."""
    rules = dataset.rules
    if rules is None:
        return lambda picture: iter(())
    if rules.one_size:
        return lambda picture: iter((rules.resolution_px,))

    def measured(picture: Path) -> Sizes:
        before = reader.unread
        size_px = reader.of(picture)
        fit = rules.fit(size_px) if size_px else None
        return iter((fit.bucket_px,) if fit else (None,) if reader.unread > before else ())

    return measured
