"""A dataset class for --dataset_class."""

from pathlib import Path

import torch

from sd_scripts.library.data.training_data import Example, Item, Moment, TrainImage
from sd_scripts.library.report import Report
from sd_scripts.options.fine_tune import FineTuneOptions


class Squares:
    """Two plain squares."""

    captions_change = False

    def __init__(self, options: FineTuneOptions, report: Report) -> None:
        self.images = [TrainImage(name, Path(name), name, (64, 64)) for name in ("dark", "light")]

    def plan(self, epoch: int, seed: int, processes: int = 1) -> list[list[Item]]:
        return [[Item(0, 0), Item(1, 0)]]

    def caption(self, item: Item, moment: Moment) -> str:
        return f"a {self.images[item.image].text} square"

    def load(self, item: Item, moment: Moment) -> Example:
        return Example(item, self.caption(item, moment), pixels_CHW=torch.full((3, 64, 64), item.image - 0.5))
