"""Options of methods: which parts of a model are trained, at what rates, and until when."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from sd_scripts.options.spec import Range, Unit


@dataclass(kw_only=True)
class TextStopOptions:
    """How long text encoders are trained."""

    stop_text_encoder_training: Annotated[int | None, Range(low=-1), Unit("steps")] = None
    """Train the text encoder for so many steps, then leave it as it is. 0 or -1: not at all. Empty: to the end."""

    @property
    def stopped_at_once(self) -> bool:
        """Whether text encoders are never trained."""
        return self.stop_text_encoder_training is not None and self.stop_text_encoder_training <= 0


@dataclass(kw_only=True)
class FullMethodOptions(TextStopOptions):
    """Which parts of a whole model are trained: the text encoders too, unless their training stops at once."""

    rates: ClassVar[dict[str, str]]
    """The option with the rate of each text encoder, by the name of its part."""

    @property
    def text_rates(self) -> dict[str, float | None]:
        """The text encoders' own learning rates by option; None: that of the U-Net."""
        return {option: getattr(self, option) for option in self.rates.values()}

    @property
    def frozen_by(self) -> str:
        """Why no text encoder is trained whatever its rate, as a sentence goes on; empty: they are."""
        return "--stop_text_encoder_training leaves it as it is" if self.stopped_at_once else ""

    @property
    def trained_texts(self) -> dict[str, float | None]:
        """The text encoders that are trained, with their rates: at a rate of 0 they would cost as much for nothing."""
        rates = {part: self.text_rates[option] for part, option in self.rates.items()}
        return {part: rate for part, rate in rates.items() if not self.frozen_by and rate != 0}

    @property
    def frozen_texts(self) -> list[str]:
        """The text encoders that are not trained."""
        return [part for part in self.rates if part not in self.trained_texts]

    @property
    def trains_text_encoder(self) -> bool:
        """Whether any is trained."""
        return bool(self.trained_texts)

    @property
    def block_rates(self) -> list[float] | None:
        """The learning rates of the U-Net's blocks; None: all have the same. Errors: BadOption."""
        return None


@dataclass(kw_only=True)
class ChosenTextOptions(FullMethodOptions):
    """Which parts of a whole model are trained: the text encoders only where that is asked for."""

    train_text_encoder: bool = False
    """Train the text encoder as well as the U-Net."""

    @property
    def frozen_by(self) -> str:
        """Why no text encoder is trained."""
        return super().frozen_by if self.train_text_encoder else "--train_text_encoder is not given"


@dataclass(kw_only=True)
class OneTextRateOptions(FullMethodOptions):
    """The learning rate of a model's only text encoder."""

    rates: ClassVar[dict[str, str]] = {"text_encoder": "learning_rate_te"}

    learning_rate_te: Annotated[float | None, Range(low=0.0, zero="not trained")] = None
    """Learning rate of the text encoder. Empty: learning_rate. 0: it is not trained."""
