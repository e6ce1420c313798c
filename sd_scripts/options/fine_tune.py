"""Options of fine_tune.py."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from sd_scripts.options.data import FineTuneDataOptions
from sd_scripts.options.method import FullMethodOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.spec import Range
from sd_scripts.options.trainer import FullTrainerOptions


@dataclass(kw_only=True)
class FineTuneMethodOptions(FullMethodOptions):
    """Which parts of the model are trained."""

    rates: ClassVar[dict[str, str]] = {"text_encoder": "learning_rate_te"}

    learning_rate_te: Annotated[float | None, Range(low=0.0, zero="not trained")] = None
    """Learning rate of the text encoder. Empty: learning_rate. 0: it is not trained."""


@dataclass(kw_only=True)
class FineTuneOptions(FullTrainerOptions):
    """Trains a whole Stable Diffusion model on pictures and their metadata."""

    model: ModelOptions = field(default_factory=ModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
    data: FineTuneDataOptions = field(default_factory=FineTuneDataOptions)
    method: FineTuneMethodOptions = field(default_factory=FineTuneMethodOptions)
