"""The options that the loop reads, whatever the script: every trainer's options class has these groups."""

from typing import Protocol

from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.data import DataOptions, ResolutionOptions
from sd_scripts.options.device import CompileOptions, DeepSpeedOptions, ParallelOptions
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.network import NetworkFormatOptions
from sd_scripts.options.noise import LossOptions, NoiseOptions
from sd_scripts.options.optimizer import OptimizerOptions, ScheduleOptions
from sd_scripts.options.output import AboutOptions
from sd_scripts.options.pictures import MaskOptions, PictureOptions
from sd_scripts.options.training import (
    AttentionOptions,
    LengthOptions,
    LoggingOptions,
    ModelFormatOptions,
    PrecisionOptions,
    SampleOptions,
    SavingOptions,
    StateOptions,
)


class TrainingSettings(Protocol):
    """A composition of option groups, such as options.fine_tune.FineTuneOptions."""

    @property
    def data(self) -> DataOptions:
        """Which pictures; each script has those of its method."""

    model: ModelOptions
    text: TextEncodingOptions
    captions: CaptionOptions
    resolution: ResolutionOptions
    pictures: PictureOptions
    masks: MaskOptions
    length: LengthOptions
    optimizer: OptimizerOptions
    schedule: ScheduleOptions
    precision: PrecisionOptions
    attention: AttentionOptions
    compilation: CompileOptions
    parallel: ParallelOptions
    zero: DeepSpeedOptions
    noise: NoiseOptions
    loss: LossOptions
    saving: SavingOptions

    @property
    def format(self) -> ModelFormatOptions | NetworkFormatOptions:
        """The form of what is saved."""

    state: StateOptions
    hub: HubOptions
    logging: LoggingOptions
    samples: SampleOptions
    about: AboutOptions
