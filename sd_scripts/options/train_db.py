"""Options of train_db.py."""

from dataclasses import dataclass, field

from sd_scripts.options.data import DreamBoothDataOptions
from sd_scripts.options.method import OneTextRateOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.trainer import FullTrainerOptions


@dataclass(kw_only=True)
class DreamBoothTextOptions(TextEncodingOptions):
    """How captions are read by the text encoder, and how long they are to it."""

    no_token_padding: bool = False
    """Fill captions up to the longest of their batch only, not to 75 tokens, as diffusers' DreamBooth does."""

    @property
    def padded(self) -> bool:
        """Whether all captions are filled up to the same length."""
        return not self.no_token_padding


@dataclass(kw_only=True)
class TrainDbOptions(FullTrainerOptions):
    """Trains a whole Stable Diffusion model on pictures in folders (DreamBooth), with its text encoder."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: DreamBoothTextOptions = field(default_factory=DreamBoothTextOptions)
    data: DreamBoothDataOptions = field(default_factory=DreamBoothDataOptions)
    method: OneTextRateOptions = field(default_factory=OneTextRateOptions)
