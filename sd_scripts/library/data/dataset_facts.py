"""What training data are, in figures and names: for the headers of saved files and for --debug_dataset. Torch-free."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.data.training_data import Item, TrainingData

# The header of a file is read whole by whoever opens it.
LISTED_TAGS = 10_000


def header_facts(data: TrainingData, plan: list[list[Item]]) -> dict[str, Any]:
    """The ss_* keys of the data, as sd-scripts writes them: names of folders and files, without their paths.

    `plan`: the batches of the first epoch. Several datasets come as ss_datasets, one as keys of its own.
    """
    items = [item for batch in plan for item in batch]
    regularising = 0
    facts: dict[str, Any] = {"ss_bucket_info": json.dumps(_buckets(data, items))}
    if isinstance(data, PictureData):
        pictures = data.pictures
        regularising = sum(pictures[item.image].subset.is_reg for item in items)
        if len(data.datasets) > 1 or data.datasets[0].subsets[0].where:
            datasets = [_dataset(place, dataset, data, items) for place, dataset in enumerate(data.datasets)]
            facts["ss_datasets"] = json.dumps(datasets)
        elif rules := data.datasets[0].rules:
            facts["ss_resolution"] = str(rules.resolution_px)
        facts["ss_dataset_dirs"] = json.dumps(_folders([p for p in pictures if not p.subset.is_reg]))
        facts["ss_reg_dataset_dirs"] = json.dumps(_folders([p for p in pictures if p.subset.is_reg]))
        facts["ss_tag_frequency"] = json.dumps(_tags_once(pictures))
        facts["ss_num_validation_images"] = len(data.held_out.images) if data.held_out else 0
    return {"ss_num_train_images": len(items) - regularising, "ss_num_reg_images": regularising} | facts


def described(data: TrainingData) -> list[str]:
    """The datasets and subsets in lines for a reader."""
    if not isinstance(data, PictureData):
        return [f"Data of {type(data).__module__}.{type(data).__qualname__}."]
    lines = []
    for place, dataset in enumerate(data.datasets):
        pictures = [picture for picture in data.pictures if picture.dataset == place]
        lines.append(f"Dataset {place + 1}: {_sizes(dataset)}, batches of {dataset.batch_size}")
        own = _by_subset(pictures)
        lines += [_subset_line(subset, own[id(subset)]) for subset in dataset.subsets]
    return lines


def _sizes(dataset: Dataset) -> str:
    rules = dataset.rules
    if rules is None:
        return "prepared sizes"
    width, height = rules.resolution_px
    if rules.one_size:
        return f"{width} x {height}"
    how = "pictures keep their size at most" if rules.no_upscale else f"sides {rules.min_px} to {rules.max_px} px"
    return f"{width} x {height} in buckets, {how}, steps of {rules.step_px}"


def _by_subset(pictures: list[Picture]) -> defaultdict[int, list[Picture]]:
    """{id of a subset: its pictures}, read once: there may be many of both."""
    found: defaultdict[int, list[Picture]] = defaultdict(list)
    for picture in pictures:
        found[id(picture.subset)].append(picture)
    return found


def _subset_line(subset: Subset, own: list[Picture]) -> str:
    shown = sum(picture.repeats for picture in own)
    kind = "regularisation pictures" if subset.is_reg else "pictures"
    return f"  {subset.name}: {len(own):,} {kind}, {shown:,} showings an epoch"


def _dataset(place: int, dataset: Dataset, data: PictureData, items: list[Item]) -> dict[str, Any]:
    pictures = [picture for picture in data.pictures if picture.dataset == place]
    own = [item for item in items if data.pictures[item.image].dataset == place]
    regularising = sum(data.pictures[item.image].subset.is_reg for item in own)
    rules = dataset.rules
    buckets = rules is not None and not rules.one_size
    by_subset = _by_subset(pictures)
    return {
        "is_dreambooth": dataset.subsets[0].metadata_file is None,
        "batch_size_per_device": dataset.batch_size,
        "num_train_images": len(own) - regularising,
        "num_reg_images": regularising,
        "resolution": list(rules.resolution_px) if rules else None,
        "enable_bucket": buckets,
        "min_bucket_reso": rules.min_px if rules and buckets else None,
        "max_bucket_reso": rules.max_px if rules and buckets else None,
        "tag_frequency": _tags(pictures),
        "bucket_info": _buckets(data, own),
        "subsets": [_subset(subset, len(by_subset[id(subset)])) for subset in dataset.subsets],
    }


def _subset(subset: Subset, count: int) -> dict[str, Any]:
    source = {"metadata_file": subset.name} if subset.metadata_file else {"image_dir": subset.name}
    own = {} if subset.metadata_file else {"class_tokens": subset.class_tokens, "is_reg": subset.is_reg}
    return {
        "img_count": count,
        "num_repeats": subset.repeats,
        "color_aug": subset.pictures.color_aug,
        "flip_aug": subset.pictures.flip_aug,
        "random_crop": subset.pictures.random_crop,
        "shuffle_caption": subset.captions.shuffle,
        "keep_tokens": subset.captions.keep_parts,
        **source,
        **own,
    }


def _buckets(data: TrainingData, items: list[Item]) -> dict[str, Any]:
    counted = Counter(tuple(data.images[item.image].bucket_px) for item in items)
    rows = enumerate(sorted(counted.items()))
    return {"buckets": {str(i): {"resolution": list(px), "count": count} for i, (px, count) in rows}}


def _folders(pictures: list[Picture]) -> dict[str, Any]:
    """{folder or file: its repeats, and how many pictures it has}; repeats in several subsets add up."""
    found: dict[str, Any] = {}
    for own in _by_subset(pictures).values():
        subset = own[0].subset
        before = found.get(subset.name, {"n_repeats": 0})
        found[subset.name] = {"n_repeats": before["n_repeats"] + subset.repeats, "img_count": len(own)}
    return found


def _tags_once(pictures: list[Picture]) -> dict[str, dict[str, int]]:
    """The same as `_tags`, for the first dataset in which a folder or file is: the others have the same texts."""
    firsts: dict[str, int] = {}
    for picture in pictures:
        firsts.setdefault(picture.subset.name, picture.dataset)
    return _tags([picture for picture in pictures if picture.dataset == firsts[picture.subset.name]])


def _tags(pictures: list[Picture]) -> dict[str, dict[str, int]]:
    """{folder or file: its tags with their frequency}."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for picture in pictures:
        texts[picture.subset.name].append(picture.image.text)
    return {name: tag_frequency(several) for name, several in texts.items()}


def tag_frequency(texts: Iterable[str]) -> dict[str, int]:
    """{tag in small letters: how often it stands in the texts}, the most frequent first."""
    counted = Counter(tag for text in texts for part in text.split(",") if (tag := part.strip().lower()))
    return dict(counted.most_common(LISTED_TAGS))
