"""Options of the optimizer and of the learning rate."""

from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import Range

OPTIMIZERS = ("AdamW", "AdamW8bit", "Lion", "AdaFactor", "SGD", "SGDNesterov")
"""The optimizers that are known by a short name; any other is named by its class with its module."""

SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial")
"""All schedules of the learning rate."""


@dataclass(kw_only=True)
class OptimizerOptions:
    """How gradients change the weights."""

    learning_rate: Annotated[float, Range(low=0.0)] = 2e-6
    """Learning rate of everything that is trained and has no rate of its own."""

    optimizer_type: str = ""
    """Optimizer: AdamW (if empty), AdamW8bit, Lion, AdaFactor, SGD, or the name of a class with its module."""

    use_8bit_adam: bool = False
    """The same as optimizer_type AdamW8bit: less memory."""

    use_lion_optimizer: bool = False
    """The same as optimizer_type Lion."""

    optimizer_args: list[str] | None = None
    """Further arguments of the optimizer, such as weight_decay=0.01 betas=0.9,0.999."""

    max_grad_norm: Annotated[float, Range(low=0.0, zero="no clipping")] = 1.0
    """Gradients are scaled down to this norm. 0: never."""


@dataclass(kw_only=True)
class ScheduleOptions:
    """How the learning rate changes."""

    lr_scheduler: str = "constant"
    """constant, constant_with_warmup, linear, cosine, cosine_with_restarts or polynomial."""

    lr_warmup_steps: Annotated[int | float, Range(low=0)] = 0
    """Steps over which the learning rate rises from 0; below 1 a share of all steps."""

    lr_scheduler_num_cycles: Annotated[int, Range(low=1)] = 1
    """Restarts of cosine_with_restarts."""

    lr_scheduler_power: Annotated[float, Range(low=0.0)] = 1
    """Power of polynomial."""
