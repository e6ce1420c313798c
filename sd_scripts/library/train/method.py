"""What a training method is, to the loop: what is trained of a model, and how it is saved."""

from typing import TYPE_CHECKING, Any, Protocol

from sd_scripts.library.models.family import SaveRequest

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from sd_scripts.library.models.family import Family


class Method(Protocol):
    """Whole model, network, embedding or hypernetwork: the loop treats them alike."""

    kind: str
    """Name in the files' metadata: "full", later "lora" and others."""

    def prepare(self, family: "Family") -> None:
        """Freezes what stays, unfreezes what is trained, and adds what is new."""

    def trained(self) -> "dict[str, nn.Module]":
        """The modules that are trained, by the name of their part (unet, text_encoder)."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The optimizer's groups, each with `params`, `lr` and the `name` under which its rate is logged."""

    def trains_text_encoder(self) -> bool:
        """Whether captions are encoded anew each step, with gradients."""

    def save(self, family: "Family", request: SaveRequest) -> "Path":
        """Writes what was trained in the form that its users expect; gives the file or folder written."""
