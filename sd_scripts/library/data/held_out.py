"""Pictures that are held out of training, to see how well the model does on what it does not learn. Needs no torch."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePath

from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.subsets import Dataset, Subset, told_of
from sd_scripts.library.errors import BadOption
from sd_scripts.library.seeds import derive


def split(pictures: Sequence[Picture], dataset: Dataset) -> tuple[list[Picture], list[Picture]]:
    """The pictures of a dataset that are learnt, and those that are held out. Errors: BadOption."""
    if not dataset.held_out_share:
        return list(pictures), []
    with told_of(dataset.subsets[0].where):
        chosen = held_out_keys((picture.image.key for picture in pictures), dataset)
    learnt = [picture for picture in pictures if picture.image.key not in chosen]
    return learnt, [_as_it_is(picture) for picture in pictures if picture.image.key in chosen]


def held_out_keys(keys: Iterable[str], dataset: Dataset) -> set[str]:
    """Which pictures are held out, by their keys. Errors: BadOption.

    That follows from the seed and their names alone: a picture that is added moves few others, and a folder that two
    datasets show in two sizes is cut alike in both.
    """
    if not dataset.held_out_share:
        return set()
    by_lot = sorted(set(keys), key=lambda key: (derive(dataset.held_out_seed, _name(key)), key))
    count = max(1, round(len(by_lot) * dataset.held_out_share))
    if count >= len(by_lot):
        sentence = f"of {len(by_lot):,} pictures none would be left to learn. Use less, such as 0.1"
        raise BadOption("validation_split", f"--validation_split {dataset.held_out_share:g}: {sentence}.")
    return set(by_lot[:count])


def _name(key: str) -> str:
    return PurePath(key.replace("\\", "/")).stem


def _as_it_is(picture: Picture) -> Picture:
    """Shown once, with nothing drawn by lot but its noise: so each look at it can be compared with the one before."""
    latents = picture.latents._replace(flipped=None)
    return replace(picture, repeats=1, subset=_calm(picture.subset), latents=latents)


def _calm(subset: Subset) -> Subset:
    captions = replace(
        subset.captions,
        shuffle=False,
        dropout_rate=0.0,
        dropout_every_n_epochs=0,
        part_dropout_rate=0.0,
        warmup_steps=0.0,
    )
    pictures = replace(subset.pictures, flip_aug=False, color_aug=False, random_crop=False, face_crop_aug_range=None)
    return replace(subset, captions=captions, pictures=pictures)
