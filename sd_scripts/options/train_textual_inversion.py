"""Options of train_textual_inversion.py."""

from dataclasses import dataclass, field

from sd_scripts.options.inversion import InversionTrainerOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions


@dataclass(kw_only=True)
class TrainTextualInversionOptions(InversionTrainerOptions):
    """Teaches a Stable Diffusion model a new word (textual inversion)."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
