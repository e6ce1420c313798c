"""Options of sdxl_train.py."""

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from sd_scripts.library.errors import BadOption
from sd_scripts.options.data import EitherDataOptions
from sd_scripts.options.method import ChosenTextOptions
from sd_scripts.options.model import SdxlModelOptions
from sd_scripts.options.spec import Range
from sd_scripts.options.trainer import FullTrainerOptions

BLOCKS = 23
"""Blocks of SDXL's U-Net: embeddings, 9 on the way down, 3 in the middle, 9 on the way up, the output layer."""


@dataclass(kw_only=True)
class SdxlMethodOptions(ChosenTextOptions):
    """Which parts of an SDXL model are trained."""

    rates: ClassVar[dict[str, str]] = {"text_encoder1": "learning_rate_te1", "text_encoder2": "learning_rate_te2"}

    learning_rate_te1: Annotated[float | None, Range(low=0.0, zero="not trained")] = None
    """Learning rate of the first text encoder (CLIP ViT-L). Empty: learning_rate. 0: it is not trained."""

    learning_rate_te2: Annotated[float | None, Range(low=0.0, zero="not trained")] = None
    """Learning rate of the second text encoder (OpenCLIP ViT-bigG). Empty: learning_rate. 0: it is not trained."""

    block_lr: str | None = None
    """Learning rates of the U-Net's 23 blocks from input to output, with commas between; 0: not trained."""

    @property
    def block_rates(self) -> list[float] | None:
        """The learning rates of the U-Net's blocks; None: all have the same. Errors: BadOption."""
        if self.block_lr is None:
            return None
        try:
            rates = [float(rate) for rate in self.block_lr.split(",")]
        except ValueError as error:
            raise BadOption("block_lr", f'--block_lr "{self.block_lr}": write numbers with commas between.') from error
        if len(rates) != BLOCKS:
            raise BadOption("block_lr", f"--block_lr has {len(rates)} numbers, and the U-Net has {BLOCKS} blocks.")
        if not all(0 <= rate < math.inf for rate in rates) or not any(rates):
            raise BadOption("block_lr", "--block_lr: learning rates are 0 or more, and at least one is above 0.")
        return rates


@dataclass(kw_only=True)
class SdxlTrainOptions(FullTrainerOptions):
    """Trains a whole SDXL model on pictures, with metadata or in folders."""

    model: SdxlModelOptions = field(default_factory=SdxlModelOptions)
    data: EitherDataOptions = field(default_factory=EitherDataOptions)
    method: SdxlMethodOptions = field(default_factory=SdxlMethodOptions)
