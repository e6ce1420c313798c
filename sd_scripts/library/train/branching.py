"""What of a state a branch takes on: its options differ from the state's, and not everything goes with that."""

from typing import Any

import torch

from sd_scripts.library.errors import UserError
from sd_scripts.library.report import Report
from sd_scripts.library.train.arguments import read_arguments
from sd_scripts.library.train.optimizers import make_optimizer
from sd_scripts.library.train.shaping import Changes
from sd_scripts.library.train.state import Anew
from sd_scripts.library.train.state_facts import Facts
from sd_scripts.options.optimizer import OptimizerOptions
from sd_scripts.options.trainer import TrainerOptions

_RATES = {"learning_rate", "learning_rate_te", "learning_rate_te1", "learning_rate_te2", "block_lr", "unet_lr",
          "text_encoder_lr", "lr_scheduler_type", "lr_scheduler_args"}  # fmt: skip


def begun_anew(facts: Facts, found: Changes, options: TrainerOptions, optimizer: str, report: Report) -> Anew:
    """What begins anew in a branch whose options have changed so; that is told. `optimizer`: the present one's name."""
    arguments = _changed_arguments(found)
    other = facts.optimizer != optimizer
    if other:
        report.notice(f"The optimizer is {optimizer} now, not {facts.optimizer}: it begins without a memory.")
    elif arguments and _memory(options.optimizer) != _memory(_before(options.optimizer, found)):
        other = True
        names = " and ".join(sorted(arguments))
        report.notice(f"With the new {names} the optimizer remembers other things: it begins without a memory.")
    scheduler = bool(_RATES & set(found))
    return Anew(other, scheduler, frozenset(arguments), "branch")


def _changed_arguments(found: Changes) -> set[str]:
    """The arguments of the optimizer that differ, in value or in being given at all."""
    if "optimizer_args" not in found:
        return set()
    before, now = (read_arguments(given, "optimizer_args") for given in found["optimizer_args"])
    return {name for name in {**before, **now} if (name in before, before.get(name)) != (name in now, now.get(name))}


def _before(settings: OptimizerOptions, found: Changes) -> OptimizerOptions:
    return OptimizerOptions(
        learning_rate=settings.learning_rate,
        optimizer_type=settings.optimizer_type,
        use_8bit_adam=settings.use_8bit_adam,
        use_lion_optimizer=settings.use_lion_optimizer,
        optimizer_args=found["optimizer_args"][0],
    )


def _memory(settings: OptimizerOptions) -> set[str]:
    """What an optimizer remembers of a weight after a step, by name. Nothing, where it cannot step alone."""
    weight = torch.nn.Parameter(torch.ones(2, 2))
    try:
        optimizer: Any = make_optimizer([{"params": [weight], "lr": settings.learning_rate, "name": "one"}], settings)
        weight.grad = torch.ones(2, 2)
        optimizer.step()
    except (UserError, RuntimeError, ValueError, TypeError, KeyError, AttributeError):
        return set()
    return set(optimizer.state[weight])
