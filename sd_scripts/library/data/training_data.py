"""What the loop knows of training data: images, items, batches and examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


class Item(NamedTuple):
    """One showing of an image within an epoch: `image` counts the dataset's images, `repeat` its repeats, from 0."""

    image: int
    repeat: int


class Moment(NamedTuple):
    """When something is shown: epoch and optimizer step (from 0) of a training of `total_steps`, and its seed."""

    epoch: int = 0
    step: int = 0
    total_steps: int = 1
    seed: int = 0


class Sizes(NamedTuple):
    """How a picture came to its size; (width, height) and (left, top) in px. The corner lies in the scaled picture."""

    original_px: tuple[int, int]
    corner_px: tuple[int, int]
    target_px: tuple[int, int]

    def numbers(self) -> tuple[float, ...]:
        """As SDXL is told of it: height and width of the whole, top and left, height and width of what is seen."""
        return tuple(float(side) for pair in self for side in reversed(pair))


def uncut(size_px: tuple[int, int]) -> Sizes:
    """Of a picture that is seen as it is."""
    return Sizes(size_px, (0, 0), size_px)


@dataclass(frozen=True, slots=True)
class TrainImage:
    """An image to be trained. `bucket_px` is (width, height); its latents have bucket_px / 8."""

    key: str
    path: Path
    text: str
    bucket_px: tuple[int, int]


@dataclass(frozen=True)
class Example:
    """An item, ready for a batch: latents (C, H/8, W/8; the VAE's sample, not scaled), or pixels (3, H, W; -1 to 1).

    Exactly one of the two is given. `caption` is final: shuffled, with its kept parts. `mask_HW`, of the latents' size,
    says from 0 to 1 how much each place counts in the loss; None: all of them fully. `sizes`: how the picture came to
    its size; None: it is seen as it is. `seen` tells people how the picture was seen. `strength`: how strongly a
    network changes the model meanwhile, the same for all of a batch.
    """

    item: Item
    caption: str
    latents_CHW: "torch.Tensor | None" = None
    pixels_CHW: "torch.Tensor | None" = None
    mask_HW: "torch.Tensor | None" = None
    weight: float = 1.0
    strength: float = 1.0
    sizes: Sizes | None = None
    seen: str = ""


@runtime_checkable
class TrainingData(Protocol):
    """A dataset as the loop sees it. The same arguments give the same answers in any process, at any time."""

    @property
    def images(self) -> Sequence[TrainImage]:
        """All images; an item's `image` is a place in this list."""

    @property
    def captions_change(self) -> bool:
        """Whether an image may have another caption the next time; else what the text encoder makes of it is kept."""

    def plan(self, epoch: int, seed: int, processes: int = 1) -> list[list[Item]]:
        """The batches of an epoch (from 0): every item once, each batch of one bucket, in shuffled order.

        A batch holds the items of all processes: so many times what one of them takes.
        """

    def caption(self, item: Item, moment: Moment) -> str:
        """The final caption of an item."""

    def load(self, item: Item, moment: Moment) -> Example:
        """An item as it is trained; all that is drawn by lot derives from (seed, epoch, item), never from the step."""
