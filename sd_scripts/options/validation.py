"""Options of pictures that are held out, and of the average of the weights."""

from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import Range, Unit


@dataclass(kw_only=True)
class HeldOutOptions:
    """Which pictures are held out."""

    validation_split: Annotated[float, Range(low=0.0, high=1.0, zero="none")] = 0.0
    """Share of the pictures that are held out: they are not learnt, and their loss is told apart. 0.1 is usual."""

    validation_seed: int | None = None
    """Seed by which pictures are held out. Empty: 0, so that every training holds out the same."""


@dataclass(kw_only=True)
class ValidationOptions(HeldOutOptions):
    """The loss of pictures that are not learnt, and what follows from it."""

    validate_every_n_steps: Annotated[int | None, Range(low=1), Unit("steps")] = None
    """Look at the pictures held out each time this many steps have passed. Empty: after epochs."""

    validate_every_n_epochs: Annotated[int | None, Range(low=1), Unit("epochs")] = None
    """Look at the pictures held out each time this many epochs have passed. Empty: after each."""

    max_validation_steps: Annotated[int | None, Range(low=1), Unit("batches")] = None
    """Look at no more than so many batches of them each time. Empty: at all."""

    keep_best: bool = False
    """Keep the model with the lowest validation loss, in a file of its own whose name ends in -best."""

    early_stop: Annotated[int | None, Range(low=1)] = None
    """End training when the validation loss has not fallen in so many validations in a row."""


@dataclass(kw_only=True)
class AverageOptions:
    """A moving average (EMA) of what is trained."""

    ema_decay: Annotated[float, Range(low=0.0, high=1.0, zero="off")] = 0.0
    """Save, draw and validate a moving average of the weights: 0.99 for a few hundred steps, 0.9999 for very many."""

    ema_on_cpu: bool = False
    """Keep the average in RAM instead of the GPU's memory: slower."""
