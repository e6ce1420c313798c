"""Options of train_network.py."""

from dataclasses import dataclass, field

from sd_scripts.options.data import NetworkDataOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.network import (
    FrozenBaseOptions,
    NetworkFormatOptions,
    NetworkHeaderOptions,
    NetworkOptions,
    NetworkRateOptions,
    StartOptions,
)
from sd_scripts.options.trainer import TrainerOptions


@dataclass(kw_only=True)
class TrainNetworkOptions(TrainerOptions):
    """Trains a network (LoRA) beside a Stable Diffusion model."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    rates: NetworkRateOptions = field(default_factory=NetworkRateOptions)
    base: FrozenBaseOptions = field(default_factory=FrozenBaseOptions)
    data: NetworkDataOptions = field(default_factory=NetworkDataOptions)
    start: StartOptions = field(default_factory=StartOptions)
    format: NetworkFormatOptions = field(default_factory=NetworkFormatOptions)
    header: NetworkHeaderOptions = field(default_factory=NetworkHeaderOptions)
