"""Options of fine_tune.py: a composition of groups."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.config_file import ConfigFileOptions
from sd_scripts.options.data import FineTuneDataOptions, ResolutionOptions
from sd_scripts.options.device import CompileOptions, DeepSpeedOptions, ParallelOptions
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.method import FullMethodOptions
from sd_scripts.options.model import ModelOptions, TextCacheOptions, TextEncodingOptions
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
    PrecisionOptions,
    SampleOptions,
    SavingOptions,
    StateOptions,
)


@dataclass(kw_only=True)
class FineTuneMethodOptions(FullMethodOptions):
    """Which parts of the model are trained."""

    rates: ClassVar[dict[str, str]] = {"text_encoder": "learning_rate_te"}

    learning_rate_te: Annotated[float | None, Range(low=0.0, zero="not trained")] = None
    """Learning rate of the text encoder. Empty: learning_rate. 0: it is not trained."""


@dataclass(kw_only=True)
class FineTuneOptions:
    """Trains a whole Stable Diffusion model on pictures and their metadata."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
    data: FineTuneDataOptions = field(default_factory=FineTuneDataOptions)
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    resolution: ResolutionOptions = field(default_factory=ResolutionOptions)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    masks: MaskOptions = field(default_factory=MaskOptions)
    method: FineTuneMethodOptions = field(default_factory=FineTuneMethodOptions)
    length: LengthOptions = field(default_factory=LengthOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
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
    def text_cache(self) -> TextCacheOptions:
        """Captions are encoded when they come first, and kept in memory."""
        return TextCacheOptions()

    @property
    def optimizer_groups(self) -> int:
        """The optimizer is not split."""
        return 0
