"""Options of whole models: which of their parts are trained, and at what rates."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(kw_only=True)
class FullMethodOptions:
    """Which parts of a whole model are trained."""

    train_text_encoder: bool = False
    """Train the text encoder as well as the U-Net."""

    rates: ClassVar[dict[str, str]]
    """The option with the rate of each text encoder, by the name of its part."""

    @property
    def text_rates(self) -> dict[str, float | None]:
        """The text encoders' own learning rates by option; None: that of the U-Net."""
        return {option: getattr(self, option) for option in self.rates.values()}

    @property
    def trained_texts(self) -> dict[str, float | None]:
        """The text encoders that are trained, with their rates: at a rate of 0 they would cost as much for nothing."""
        rates = {part: self.text_rates[option] for part, option in self.rates.items()}
        return {part: rate for part, rate in rates.items() if self.train_text_encoder and rate != 0}

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
