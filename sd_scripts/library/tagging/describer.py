"""What a captioner or tagger is, to the loop that feeds it pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


def stacked(images: "Sequence[np.ndarray]") -> "np.ndarray":
    """From N arrays to one with N in front: what a model takes that takes pictures as they are prepared."""
    import numpy as np

    return np.stack(images)


class Describer(Protocol):
    """Turns pictures into texts. One file per captioner or tagger."""

    fixed_batch_size: int | None
    """The batch size that the model's file prescribes, or None: short batches are then filled up and cut again."""

    threads_read: bool
    """Whether threads can read pictures beside it; where its computation keeps Python busy, processes have to."""

    def preparer(self, fast_decode: bool = False) -> Any:
        """A picklable function from a picture's path to an array; it runs in threads or worker processes.

        `fast_decode`: a large JPEG may be decoded at a reduced scale. It raises UnreadableImage for
        what is no picture.
        """

    def gather(self, images: "Sequence[np.ndarray]") -> "np.ndarray":
        """A batch as `describe` takes it; it is made aside, while the model works on the one before."""

    def describe(self, batch: "np.ndarray", paths: list[Path]) -> list[Any]:
        """What is seen in a batch, one result per picture, such as a sentence or scored tags."""
