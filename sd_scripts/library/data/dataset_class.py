"""A class of the user's own that gives the training data (--dataset_class): found, made and looked over. Torch-free."""

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from sd_scripts.library.data.buckets import LATENT_PX
from sd_scripts.library.data.training_data import Example, Item, Moment, TrainImage, TrainingData
from sd_scripts.library.errors import BadOption, UserError
from sd_scripts.library.installed import INSTALLED_ONLY, import_installed, is_installed
from sd_scripts.library.report import Report

MEMBERS = ("images", "captions_change", "plan", "caption", "load")
"""What a TrainingData has; docs/dataset_class.md explains each."""

KEEPING_MEMBERS = ("uncached", "unchanged", "mirrors", "put_latents", "leave_out")
"""What it has besides, where --cache_latents is to work."""


def find_class(name: str) -> type:
    """The class that "module.Class" names. Errors: BadOption."""
    module_name, _, class_name = name.rpartition(".")
    if not module_name or not class_name:
        raise _bad(name, "write it as module.Class, such as my_data.MyDataset")
    try:
        found = getattr(_module(module_name), class_name, None)
    except Exception as error:
        raise _bad(name, f"{module_name} cannot be imported ({type(error).__name__}: {error})") from error
    if not isinstance(found, type):
        raise _bad(name, f"{module_name} has no class {class_name}")
    # images and captions_change may come when the object is made.
    _check_members(name, found, ("plan", "caption", "load"))
    return found


def _module(name: str) -> Any:
    """An installed module, or one of the working folder; not in a run of the page, which could have put it there."""
    if os.environ.get(INSTALLED_ONLY) or is_installed(name):
        return import_installed(name)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return importlib.import_module(name)


def make_custom_data(name: str, options: Any, report: Report, seed: int) -> TrainingData:
    """The data that `Class(options, report)` gives, once they have shown an epoch. Errors: BadOption."""
    found = find_class(name)
    try:
        data: TrainingData = found(options, report)
        _look_over(name, data, seed)
    except UserError:
        raise
    except Exception as error:
        report.say(traceback.format_exc())
        raise _bad(name, f"it fails ({type(error).__name__}: {error}); the lines above say where") from error
    return data


def _look_over(name: str, data: TrainingData, seed: int) -> None:
    """Looks at images, the first plan and its first item."""
    _check_members(name, data, MEMBERS)
    for image in data.images:
        _check_image(name, image)
    plan = data.plan(0, seed, 1)
    if not plan or not all(plan):
        raise _bad(name, "plan(0, seed, 1) gives no batch, or an empty one")
    for batch in plan:
        _check_batch(name, data, batch)
    first = Item(*plan[0][0])
    caption, example = data.caption(first, Moment(seed=seed)), data.load(first, Moment(seed=seed))
    if not isinstance(caption, str):
        raise _bad(name, f"caption({first}, ...) gives {type(caption).__name__}, not str")
    _check_example(name, example, data.images[first.image])


def _check_image(name: str, image: Any) -> None:
    if not isinstance(image, TrainImage):
        raise _bad(name, f"images holds {type(image).__name__}, not TrainImage")
    if len(image.bucket_px) != 2 or any(side < LATENT_PX or side % LATENT_PX for side in image.bucket_px):
        raise _bad(name, f"the image {image.key} has the bucket {image.bucket_px}; both sides must be multiples of 8")


def _check_batch(name: str, data: TrainingData, batch: list[Item]) -> None:
    items = [Item(*item) for item in batch]
    if any(not 0 <= item.image < len(data.images) for item in items):
        raise _bad(name, f"its plan names an image beyond the {len(data.images):,} of images")
    if len({tuple(data.images[item.image].bucket_px) for item in items}) > 1:
        raise _bad(name, "a batch of its plan mixes images of several sizes")


def _check_example(name: str, example: Any, image: TrainImage) -> None:
    if not isinstance(example, Example):
        raise _bad(name, f"load gives {type(example).__name__}, not Example")
    if (example.latents_CHW is None) == (example.pixels_CHW is None):
        raise _bad(name, "an Example must have either latents_CHW or pixels_CHW")
    width, height = image.bucket_px
    wanted = (4, height // LATENT_PX, width // LATENT_PX) if example.pixels_CHW is None else (3, height, width)
    given = example.latents_CHW if example.pixels_CHW is None else example.pixels_CHW
    if tuple(getattr(given, "shape", ())) != wanted:
        raise _bad(name, f"load gives a tensor of {tuple(getattr(given, 'shape', ()))}, where {wanted} is wanted")


def _check_members(name: str, owner: Any, wanted: tuple[str, ...]) -> None:
    missing = [member for member in wanted if not hasattr(owner, member)]
    if missing:
        raise _bad(name, f"it has no {' and no '.join(missing)}. docs/dataset_class.md says what each must do")


def _bad(name: str, what: str) -> BadOption:
    return BadOption("dataset_class", f"--dataset_class {name}: {what}.")
