"""Options of fine_tune.py."""

from dataclasses import dataclass, field

from sd_scripts.options.data import FineTuneDataOptions
from sd_scripts.options.method import ChosenTextOptions, OneTextRateOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.trainer import FullTrainerOptions


@dataclass(kw_only=True)
class FineTuneMethodOptions(ChosenTextOptions, OneTextRateOptions):
    """Which parts of the model are trained."""


@dataclass(kw_only=True)
class FineTuneOptions(FullTrainerOptions):
    """Trains a whole Stable Diffusion model on pictures and their metadata."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
    data: FineTuneDataOptions = field(default_factory=FineTuneDataOptions)
    method: FineTuneMethodOptions = field(default_factory=FineTuneMethodOptions)
