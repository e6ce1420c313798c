"""Options of train_network.py."""

from dataclasses import dataclass, field

from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.trainer import NetworkTrainerOptions


@dataclass(kw_only=True)
class TrainNetworkOptions(NetworkTrainerOptions):
    """Trains a network (LoRA) beside a Stable Diffusion model."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
