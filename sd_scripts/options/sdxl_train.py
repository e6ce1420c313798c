"""Options of sdxl_train.py: a composition of groups, most of which it shares with fine_tune.py."""

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from sd_scripts.library.errors import BadOption
from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.config_file import ConfigFileOptions
from sd_scripts.options.data import FineTuneDataOptions, ResolutionOptions
from sd_scripts.options.device import CompileOptions, DeepSpeedOptions, ParallelOptions
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.method import FullMethodOptions
from sd_scripts.options.model import BaseTextOptions, SdxlModelOptions, TextCacheOptions
from sd_scripts.options.noise import LossOptions, NoiseOptions
from sd_scripts.options.optimizer import OptimizerOptions, ScheduleOptions
from sd_scripts.options.output import AboutOptions, ConsoleOptions
from sd_scripts.options.pictures import MaskOptions, PictureOptions
from sd_scripts.options.spec import Range
from sd_scripts.options.training import (
    AttentionOptions,
    LengthOptions,
    LoggingOptions,
    ModelFormatOptions,
    OptimizerGroupsOptions,
    PrecisionOptions,
    SampleOptions,
    SavingOptions,
    StateOptions,
)

BLOCKS = 23
"""Blocks of SDXL's U-Net: embeddings, 9 on the way down, 3 in the middle, 9 on the way up, the output layer."""


@dataclass(kw_only=True)
class SdxlMethodOptions(FullMethodOptions):
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
class SdxlTrainOptions:
    """Trains a whole SDXL model on pictures and their metadata."""

    model: SdxlModelOptions = field(default_factory=SdxlModelOptions)
    text: BaseTextOptions = field(default_factory=BaseTextOptions)
    text_cache: TextCacheOptions = field(default_factory=TextCacheOptions)
    data: FineTuneDataOptions = field(default_factory=FineTuneDataOptions)
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    resolution: ResolutionOptions = field(default_factory=ResolutionOptions)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    masks: MaskOptions = field(default_factory=MaskOptions)
    method: SdxlMethodOptions = field(default_factory=SdxlMethodOptions)
    length: LengthOptions = field(default_factory=LengthOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
    groups: OptimizerGroupsOptions = field(default_factory=OptimizerGroupsOptions)
    attention: AttentionOptions = field(default_factory=AttentionOptions)
    compilation: CompileOptions = field(default_factory=CompileOptions)
    parallel: ParallelOptions = field(default_factory=ParallelOptions)
    zero: DeepSpeedOptions = field(default_factory=DeepSpeedOptions)
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    saving: SavingOptions = field(default_factory=SavingOptions)
    format: ModelFormatOptions = field(default_factory=ModelFormatOptions)
    state: StateOptions = field(default_factory=StateOptions)
    hub: HubOptions = field(default_factory=HubOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)
    samples: SampleOptions = field(default_factory=SampleOptions)
    about: AboutOptions = field(default_factory=AboutOptions)
    console: ConsoleOptions = field(default_factory=ConsoleOptions)
    config: ConfigFileOptions = field(default_factory=ConfigFileOptions)

    @property
    def optimizer_groups(self) -> int:
        """Into how many groups of weights the optimizer's step is split; 0: it is not."""
        return self.groups.fused_optimizer_groups or 0
