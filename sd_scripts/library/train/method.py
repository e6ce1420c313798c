"""What a training method is, to the loop: what is trained of a model, and how it is saved."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sd_scripts.library.models.family import SaveRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sd_scripts.library.io.drafts import Draft
    from sd_scripts.library.models.family import Family


@dataclass(frozen=True)
class Holding:
    """How a method has the base model held. `exact`: frozen weights are saved too, so none loses a digit; otherwise
    they are kept in what is computed in. `fp8_unet`: the U-Net in fp8. `offload`: its checkpoints in RAM. `bits`: what
    is frozen is packed into so many."""

    exact: bool = True
    fp8_unet: bool = False
    offload: bool = False
    bits: int | None = None


class Method(Protocol):
    """Whole model, network, embedding or hypernetwork: the loop treats them alike."""

    kind: str
    """Name in states: "full", or that of the network's module."""
    holding: Holding
    begun_from: str | None
    """The file that it goes on from, where one is named."""
    large: bool
    """Whether what it trains is a whole model, which is written while training goes on, where memory allows."""
    must_move: bool
    """Whether a part that has learnt nothing at the first save ends the training."""

    def prepare(self, family: "Family", seed: int) -> None:
        """Freezes what stays, unfreezes what is trained, and adds what is new, whose lots follow from `seed`."""

    def trained(self) -> "dict[str, nn.Module]":
        """The modules that are trained, by the names of their parts: unet, text_encoder, or text_encoder1 and so on."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The optimizer's groups, each with `params`, `lr` and the `name` under which its rate is logged."""

    def trains_text_encoder(self) -> bool:
        """Whether captions are encoded anew each step, with gradients."""

    def use_strength(self, strength: float) -> None:
        """From now on what is trained changes the model this strongly (network_multiplier); 1 to begin with."""

    def after_step(self) -> "dict[str, Tensor]":
        """What is done to the weights after each step; gives figures to log by their names, on the device."""

    def draft(self, family: "Family", request: SaveRequest) -> "Draft":
        """What was trained, to be written in the form that its users expect."""
