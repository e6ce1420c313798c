"""The end of the text encoders' training while the rest goes on (--stop_text_encoder_training)."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from sd_scripts.library.models.family import Family
from sd_scripts.library.train.texts import Texts

TEXT_PART = "text_encoder"
"""What the names of parts in text encoders begin with."""


class TextStop:
    """Freezes what is trained of text encoders once that has been done for `stop` steps; None: never."""

    def __init__(
        self, family: Family, trained: dict[str, nn.Module], texts: Texts, optimizer: Any, stop: int | None
    ) -> None:
        parts = [module for part, module in trained.items() if part.startswith(TEXT_PART)]
        # With a network the adapters are trained, and the encoders around them recompute in training mode.
        self._modules = [*parts, *family.text_encoders.values()]
        self._texts = texts
        self._optimizer = optimizer
        self._stop = stop

    def due(self, step: int) -> bool:
        """Whether the step (from 0) is the first that does not train them any more, or one after it."""
        return self._stop is not None and step >= self._stop

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is frozen."""
        return (parameter for module in self._modules for parameter in module.parameters())

    def freeze(self) -> None:
        """From now on they stay as they are, answer without dropout, and captions are encoded once. Once and for all.

        The optimizer forgets them: some change weights between training and looking at them, as long as they know any.
        """
        self._stop = None
        for module in self._modules:
            module.requires_grad_(False).eval()
        for parameter in self.parameters():
            parameter.grad = None
            self._optimizer.state.pop(parameter, None)
        self._texts.freeze()
