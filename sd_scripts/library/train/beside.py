"""What the methods have in common that train something beside a model: it is frozen, and only the new is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sd_scripts.library.io.drafts import Draft, Saved
from sd_scripts.library.models.family import Family, SaveRequest

ANEW = "Steps, schedule and optimizer begin anew: weights alone have none of them."
"""What is said where a training begins with the weights of an earlier one, and not from its state."""


def freeze(family: Family) -> None:
    """Nothing of the model learns."""
    for module in (family.unet, *family.text_encoders.values(), family.vae):
        module.requires_grad_(False).eval()


def file_of(request: SaveRequest) -> Path:
    """The file to write, with its ending."""
    return request.path.with_name(f"{request.path.name}.{request.format}")


def small_draft(save: Callable[[Family, SaveRequest], Path], family: Family, request: SaveRequest) -> Draft:
    """What is so small that it is written as it lies in the model."""
    return Draft((), lambda path: Saved(save(family, replace(request, path=path))))


def spec_of(family: Family, request: SaveRequest, what: str) -> dict[str, str]:
    """What a header says of something for this model: lora, textual-inversion or hypernetwork (modelspec)."""
    facts = family.model_spec(request)
    facts["modelspec.architecture"] += f"/{what}"
    return facts
