"""Options of sdxl_train_textual_inversion.py."""

from dataclasses import dataclass, field

from sd_scripts.options.inversion import InversionTrainerOptions
from sd_scripts.options.model import SdxlModelOptions


@dataclass(kw_only=True)
class SdxlTrainTextualInversionOptions(InversionTrainerOptions):
    """Teaches an SDXL model a new word (textual inversion)."""

    model: SdxlModelOptions = field(default_factory=SdxlModelOptions)
