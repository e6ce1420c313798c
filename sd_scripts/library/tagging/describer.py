"""What a captioner or tagger is, to the loop that feeds it pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class Describer(Protocol):
    """Turns pictures into texts. One file per captioner or tagger."""

    fixed_batch_size: int | None
    """The batch size that the model's file prescribes, or None: short batches are then filled up and cut again."""

    def preparer(self) -> Any:
        """A picklable function from a picture's path to the array that `describe` takes; it runs in worker processes.

        It raises UnreadableImage for what is no picture.
        """

    def describe(self, images: "np.ndarray", paths: list[Path]) -> list[Any]:
        """What is seen in a batch (N, ...), one result per picture, such as a sentence or scored tags."""
