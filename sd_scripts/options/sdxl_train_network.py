"""Options of sdxl_train_network.py."""

from dataclasses import dataclass, field
from typing import ClassVar

from sd_scripts.options.model import SdxlModelOptions
from sd_scripts.options.trainer import NetworkTrainerOptions


@dataclass(kw_only=True)
class SdxlTrainNetworkOptions(NetworkTrainerOptions):
    """Trains a network (LoRA) beside an SDXL model."""

    text_parts: ClassVar[tuple[str, ...]] = ("text_encoder1", "text_encoder2")

    model: SdxlModelOptions = field(default_factory=SdxlModelOptions)

    @property
    def some_weights_wait(self) -> bool:
        """The first text encoder's last layer is skipped, so what adapts it has no gradient."""
        return super().some_weights_wait or bool(self.trained_texts)
