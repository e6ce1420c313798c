"""Which pictures a training shows, and in which buckets: counted as the trainer does it, without torch."""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kohya_gui import found, pictures
from kohya_gui.draft import Draft, once
from kohya_gui.launching import processes
from kohya_gui.listed import Kind, Listed
from kohya_gui.looking import Sizes
from sd_scripts.library.data.buckets import LATENT_PX, BucketRules, Size
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.held_out import held_out_keys
from sd_scripts.library.data.regularisation import balanced_repeats
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.errors import UserError
from sd_scripts.options.spec import from_values


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


@once
def counted(draft: Draft) -> Counted | None:
    """What an epoch of a training shows; None as long as its options or files do not tell."""
    if draft.get("dataset_class"):
        return None
    try:
        datasets, sizes = asked_datasets(from_values(draft.stage.options, draft.values)), Sizes()
        told = [_of_dataset(draft, dataset, sizes) for dataset in datasets]
    except (UserError, OSError, ValueError):
        return None
    sources = tuple(itertools.chain.from_iterable(sources for sources, _ in told))
    buckets = tuple(itertools.chain.from_iterable(buckets for _, buckets in told))
    return Counted(sizes.unread, sources, buckets) if buckets else None


def _of_dataset(draft: Draft, dataset: Dataset, sizes: Sizes) -> tuple[list[Source], list[Bucket]]:
    """Training pictures of all subsets; regularisation pictures as often as those together."""
    found_in = [(subset, _buckets(draft, dataset, subset, sizes)) for subset in dataset.subsets]
    held_out = held_out_keys((key for subset, own in found_in if not subset.is_reg for key in own), dataset)
    parts = [
        (subset, [size for key, size in own.items() if subset.is_reg or key not in held_out])
        for subset, own in found_in
    ]
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
    batch = dataset.batch_size * processes(draft.values)
    return sources, [Bucket(size, count, -(-count // batch)) for size, count in by_size.items() if count]


def _buckets(draft: Draft, dataset: Dataset, subset: Subset, sizes: Sizes) -> dict[str, Size | None]:
    """{key: bucket} of a subset's pictures that can be trained; None where its size is not known yet."""
    folder = draft.roots.inside(subset.image_dir, "dataset_config", draft.base) if subset.image_dir else None
    if subset.metadata_file is None:
        fitted = _fitted(_texted(folder or Path(), subset), dataset.rules, sizes)
        return {str(file): size for file, size in fitted.items()}
    path = draft.roots.inside(subset.metadata_file, "in_json", draft.base)
    entries = found.metadata_at(path) if path.is_file() and not draft.will_come(path) else None
    return _of_metadata(entries, folder, dataset, subset, sizes) if isinstance(entries, Listed) else {}


def _texted(folder: Path, subset: Subset) -> Iterable[Path]:
    if subset.class_tokens or subset.captions.templates:
        return pictures.files_in(folder)
    return pictures.texted_in(folder, subset.caption_extension)


def _of_metadata(
    entries: Listed, folder: Path | None, dataset: Dataset, subset: Subset, sizes: Sizes
) -> dict[str, Size | None]:
    def unsized(kind: Kind) -> bool:
        return shown(kind) and (dataset.own_sizes or kind.prepared_px is None)

    def shown(kind: Kind) -> bool:
        return bool(subset.captions.templates) or kind.trained

    prepared = {kind: _floored(kind.prepared_px) for kind in entries.kinds if shown(kind) and not unsized(kind)}
    places = pictures.of_entries(entries.keys(unsized), folder)
    fitted = _fitted(places.values(), dataset.rules, sizes)
    buckets: dict[str, Size | None] = {}
    for key, kind in entries.of_kinds():
        if kind in prepared:
            buckets[key] = prepared[kind]
        elif key in places and places[key] in fitted:
            buckets[key] = fitted[places[key]]
    return buckets


def _floored(size_px: Size | None) -> Size | None:
    """To what a latent covers."""
    return size_px and (size_px[0] // LATENT_PX * LATENT_PX, size_px[1] // LATENT_PX * LATENT_PX)


def _fitted(files: Iterable[Path], rules: BucketRules | None, sizes: Sizes) -> dict[Path, Size | None]:
    """{picture: its bucket}, of those that can be trained."""
    if rules is None:
        return {}
    if rules.one_size:
        return dict.fromkeys(files, rules.resolution_px)
    fitted: dict[Path, Size | None] = {}
    for file, size_px in sizes.of(files).items():
        fit = rules.fit(size_px) if size_px else None
        if fit or size_px is None:
            fitted[file] = fit.bucket_px if fit else None
    return fitted
