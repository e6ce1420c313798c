"""Options that every trainer has: one composition of groups, to which each script adds its own."""

from dataclasses import dataclass, field
from typing import ClassVar

from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.config_file import ConfigFileOptions
from sd_scripts.options.data import DataOptions, EitherDataOptions, ResolutionOptions
from sd_scripts.options.device import CompileOptions, DeepSpeedOptions, ParallelOptions
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.method import FullMethodOptions
from sd_scripts.options.model import BaseModelOptions, BaseTextOptions, TextCacheOptions
from sd_scripts.options.network import (
    FrozenBaseOptions,
    NetworkFormatOptions,
    NetworkHeaderOptions,
    NetworkOptions,
    NetworkRateOptions,
    StartOptions,
)
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
    TroubleOptions,
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
    trouble: TroubleOptions = field(default_factory=TroubleOptions)
    hub: HubOptions = field(default_factory=HubOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)
    samples: SampleOptions = field(default_factory=SampleOptions)
    about: AboutOptions = field(default_factory=AboutOptions)
    console: ConsoleOptions = field(default_factory=ConsoleOptions)
    config: ConfigFileOptions = field(default_factory=ConfigFileOptions)

    @property
    def text_stop(self) -> int | None:
        """Text encoders that are trained are so for this many steps; None: to the end, or none is trained."""
        return None

    @property
    def some_weights_wait(self) -> bool:
        """Whether there are steps in which some trained weights have no gradient."""
        # Layers that clip_skip skips have none.
        return (self.text.layer or 1) > 1 or self.text_stop is not None


@dataclass(kw_only=True)
class FullTrainerOptions(TrainerOptions):
    """Those of a training of whole models."""

    method: FullMethodOptions
    format: ModelFormatOptions = field(default_factory=ModelFormatOptions)

    @property
    def text_stop(self) -> int | None:
        """How long text encoders are trained."""
        return self.method.stop_text_encoder_training if self.method.trains_text_encoder else None


@dataclass(kw_only=True)
class NetworkTrainerOptions(TrainerOptions):
    """Those of a training of networks beside a model that stays."""

    text_parts: ClassVar[tuple[str, ...]] = ("text_encoder",)
    """The model's text encoders."""

    network: NetworkOptions = field(default_factory=NetworkOptions)
    rates: NetworkRateOptions = field(default_factory=NetworkRateOptions)
    base: FrozenBaseOptions = field(default_factory=FrozenBaseOptions)
    data: EitherDataOptions = field(default_factory=EitherDataOptions)
    start: StartOptions = field(default_factory=StartOptions)
    format: NetworkFormatOptions = field(default_factory=NetworkFormatOptions)
    header: NetworkHeaderOptions = field(default_factory=NetworkHeaderOptions)

    @property
    def trained_texts(self) -> list[str]:
        """The text encoders in which the network has a part."""
        given: list[float | None] = list(self.rates.text_encoder_lr or []) or [None]
        # The last rate is that of all further ones.
        rates = [*given, *[given[-1]] * len(self.text_parts)]
        if self.rates.network_train_unet_only or self.rates.stopped_at_once:
            return []
        return [part for part, rate in zip(self.text_parts, rates, strict=False) if rate != 0]

    @property
    def text_stop(self) -> int | None:
        """How long the network's part in text encoders is trained."""
        return self.rates.stop_text_encoder_training if self.trained_texts else None
