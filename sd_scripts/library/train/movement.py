"""Whether what was to be trained has changed: a look at a few weights of each tensor before and after."""

import re
from collections.abc import Mapping

import torch
from torch import nn

from sd_scripts.library.errors import TrainingFailed
from sd_scripts.library.report import Report

WEIGHTS_PER_TENSOR = 256


class Movement:
    """Remembers a few weights of each part that is still trained."""

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        self._parts = parts
        self._before = {part: _glance(module) for part, module in parts.items() if _learns(module)}

    def norms(self) -> dict[str, float]:
        """The Euclidean norm of the change of the remembered weights, by part."""
        return {part: float((_glance(self._parts[part]) - before).norm()) for part, before in self._before.items()}


def tell_movement(norms: Mapping[str, float], must_move: bool, report: Report) -> None:
    """Says how far each part has moved. Errors: TrainingFailed, where a part that must has not moved at all."""
    named = {spoken_part(part): norm for part, norm in norms.items()}
    still = [part for part, norm in named.items() if norm == 0.0]
    if still and must_move:
        parts = " and ".join(still)
        text = f"Nothing is learnt: in the {parts} no weight has changed. Is the learning rate too small?"
        raise TrainingFailed(text)
    for part in still:
        report.notice(f"The {part} has not changed: is the learning rate too small?", "warning")
    moved = [f"{part} by {norm:.2g}" for part, norm in named.items() if norm]
    if moved:
        report.say(f"Moved since the start, by a sample of the weights: {', '.join(moved)}.")


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def spoken_part(part: str) -> str:
    """text_encoder1 as "text encoder 1", width_320 as "width 320"."""
    return re.sub(r"([a-z])(\d)", r"\1 \2", part.replace("_", " "))


@torch.no_grad()
def _glance(module: nn.Module) -> torch.Tensor:
    # From its state: that is whole even where processes hold parts of the parameters.
    taken = [tensor.flatten()[:WEIGHTS_PER_TENSOR].float() for tensor in module.state_dict().values()]
    return torch.cat(taken).cpu()
