"""Options of train_network.py: a composition of groups."""

from dataclasses import dataclass, field

from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.config_file import ConfigFileOptions
from sd_scripts.options.data import NetworkDataOptions, ResolutionOptions
from sd_scripts.options.device import CompileOptions, DeepSpeedOptions, ParallelOptions
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.model import ModelOptions, TextCacheOptions, TextEncodingOptions
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
    PrecisionOptions,
    SampleOptions,
    SavingOptions,
    StateOptions,
)


@dataclass(kw_only=True)
class TrainNetworkOptions:
    """Trains a network (LoRA) beside a Stable Diffusion model."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    rates: NetworkRateOptions = field(default_factory=NetworkRateOptions)
    base: FrozenBaseOptions = field(default_factory=FrozenBaseOptions)
    data: NetworkDataOptions = field(default_factory=NetworkDataOptions)
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    resolution: ResolutionOptions = field(default_factory=ResolutionOptions)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    masks: MaskOptions = field(default_factory=MaskOptions)
    length: LengthOptions = field(default_factory=LengthOptions)
    start: StartOptions = field(default_factory=StartOptions)
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
    format: NetworkFormatOptions = field(default_factory=NetworkFormatOptions)
    state: StateOptions = field(default_factory=StateOptions)
    hub: HubOptions = field(default_factory=HubOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)
    samples: SampleOptions = field(default_factory=SampleOptions)
    about: AboutOptions = field(default_factory=AboutOptions)
    header: NetworkHeaderOptions = field(default_factory=NetworkHeaderOptions)
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
