"""The loss of pictures that are not learnt, and what follows from it: the best model is kept, training ends early."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from sd_scripts.library.data.training_data import Moment
from sd_scripts.library.errors import NothingUsable
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.batches import Batch, BatchMaker
from sd_scripts.library.train.feed import Feed
from sd_scripts.library.train.noise import Draw
from sd_scripts.options.noise import TIMESTEPS, NoiseOptions
from sd_scripts.options.validation import ValidationOptions

SHARES = (0.2, 0.4, 0.6, 0.8)
"""Where between the smallest and the largest timestep each picture is looked at."""


@dataclass(frozen=True)
class Standing:
    """The lowest validation loss so far, after which step, and how many validations have come since without a lower."""

    loss: float | None = None
    step: int = 0
    since: int = 0

    def after(self, loss: float, step: int) -> "Standing":
        """The standing once another is known."""
        if self.loss is None or loss < self.loss:
            return Standing(loss, step)
        return replace(self, since=self.since + 1)


class Look(Protocol):
    """Gives losses_B of a batch, without gradients and without waiting for other processes."""

    def __call__(self, batch: Batch) -> torch.Tensor: ...


class Validation:
    """Looks at the pictures that are held out: each at the same timesteps, in the same noise, every time."""

    def __init__(
        self, feed: Feed, maker: BatchMaker, options: ValidationOptions, noise: NoiseOptions, seed: int
    ) -> None:
        self._feed = feed
        self._maker = maker
        self._options = options
        self._seed = derive(seed, "validation")
        self._draw = Draw(self._seed, 0, noise)
        self._timesteps = timesteps_of(noise)

    def due(self, step: int, ended_epoch: int | None, end: bool) -> bool:
        """Whether it is time for it: as asked for, after each epoch where nothing is, and at the end."""
        by_steps, by_epochs = self._options.validate_every_n_steps, self._options.validate_every_n_epochs
        if not (by_steps or by_epochs):
            by_epochs = 1
        after_epoch = bool(by_epochs and ended_epoch and ended_epoch % by_epochs == 0)
        return end or after_epoch or bool(by_steps and step % by_steps == 0)

    @torch.no_grad()
    def measure(self, look: Look, add_up: Callable[[torch.Tensor], torch.Tensor]) -> float | None:
        """The mean loss over pictures and timesteps. `add_up` adds figures of all processes.

        None where a stop was asked for meanwhile: a part of the pictures has another mean. Errors: NothingUsable.
        """
        plan = self._feed.data.plan(0, self._seed, self._feed.team.size)[: self._options.max_validation_steps]
        sums = torch.zeros(2)
        windows = self._feed.windows([[batch] for batch in plan], Moment(seed=self._seed))
        with contextlib.closing(windows):
            for (loaded,) in windows:
                # Several processes look at all of them: they add up together.
                if self._feed.team.size == 1 and self._feed.report.stop_asked():
                    return None
                batch = self._maker.make(loaded, self._draw)
                if batch is not None:
                    sums += self._sums(batch, look)
        total, count = add_up(sums).tolist()
        if not count:
            raise NothingUsable("Not one of the pictures that are held out can be used; the list above says why.")
        return float(total / count)

    def _sums(self, batch: Batch, look: Look) -> torch.Tensor:
        """The sum of the losses, and how many they are."""
        counts_B = (batch.weights_B > 0).float()
        sums = torch.zeros(2)
        for timestep in self._timesteps:
            losses_B = look(replace(batch, timesteps_B=torch.full_like(batch.timesteps_B, timestep)))
            sums += torch.stack([(losses_B * counts_B).sum(), counts_B.sum()]).cpu()
        return sums


def timesteps_of(noise: NoiseOptions) -> list[int]:
    """The timesteps at which pictures are looked at, evenly between those that are trained."""
    low, high = noise.min_timestep or 0, noise.max_timestep or TIMESTEPS
    return [low + int((high - low) * share) for share in SHARES]


def told(loss: float, step: int, standing: Standing) -> str:
    """A validation in words; `standing` is that after it."""
    text = f"Validation after step {step:,}: loss {loss:.4f}"
    if standing.step == step:
        return f"{text}, the lowest so far."
    return f"{text}; the lowest was {standing.loss:.4f} after step {standing.step:,}."
