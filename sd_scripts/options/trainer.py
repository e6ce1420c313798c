"""Options that every trainer has: one composition of groups, to which each script adds its own."""

from dataclasses import dataclass, field

from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.config_file import ConfigFileOptions
from sd_scripts.options.data import DataOptions, ResolutionOptions
from sd_scripts.options.device import CompileOptions, DeepSpeedOptions, ParallelOptions
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.method import FullMethodOptions
from sd_scripts.options.model import BaseModelOptions, BaseTextOptions, TextCacheOptions
from sd_scripts.options.network import NetworkFormatOptions
from sd_scripts.options.noise import LossOptions, NoiseOptions
from sd_scripts.options.optimizer import OptimizerOptions, ScheduleOptions
from sd_scripts.options.output import AboutOptions, ConsoleOptions
from sd_scripts.options.pictures import MaskOptions, PictureOptions
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
from sd_scripts.options.validation import AverageOptions, ValidationOptions


@dataclass(kw_only=True)
class TrainerOptions:
    """What the one training loop reads. A script's class narrows `model`, `text`, `data` and `format` to its own."""

    model: BaseModelOptions = field(default_factory=BaseModelOptions)
    text: BaseTextOptions = field(default_factory=BaseTextOptions)
    text_cache: TextCacheOptions = field(default_factory=TextCacheOptions)
    data: DataOptions = field(default_factory=DataOptions)
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    resolution: ResolutionOptions = field(default_factory=ResolutionOptions)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    masks: MaskOptions = field(default_factory=MaskOptions)
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
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    average: AverageOptions = field(default_factory=AverageOptions)
    saving: SavingOptions = field(default_factory=SavingOptions)
    format: ModelFormatOptions | NetworkFormatOptions
    state: StateOptions = field(default_factory=StateOptions)
    hub: HubOptions = field(default_factory=HubOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)
    samples: SampleOptions = field(default_factory=SampleOptions)
    about: AboutOptions = field(default_factory=AboutOptions)
    console: ConsoleOptions = field(default_factory=ConsoleOptions)
    config: ConfigFileOptions = field(default_factory=ConfigFileOptions)


@dataclass(kw_only=True)
class FullTrainerOptions(TrainerOptions):
    """Those of a training of whole models."""

    method: FullMethodOptions
    format: ModelFormatOptions = field(default_factory=ModelFormatOptions)
