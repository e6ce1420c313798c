"""Options of train_hypernetwork.py."""

from dataclasses import dataclass, field

from sd_scripts.options.data import EitherDataOptions
from sd_scripts.options.hypernetwork import HypernetworkFormatOptions, HypernetworkOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.network import NetworkHeaderOptions, StartOptions
from sd_scripts.options.trainer import TrainerOptions


@dataclass(kw_only=True)
class TrainHypernetworkOptions(TrainerOptions):
    """Trains a hypernetwork beside a Stable Diffusion model."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
    hypernetwork: HypernetworkOptions = field(default_factory=HypernetworkOptions)
    data: EitherDataOptions = field(default_factory=EitherDataOptions)
    start: StartOptions = field(default_factory=StartOptions)
    format: HypernetworkFormatOptions = field(default_factory=HypernetworkFormatOptions)
    header: NetworkHeaderOptions = field(default_factory=NetworkHeaderOptions)
