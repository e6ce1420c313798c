"""The optimizer step: from a window of batches to changed weights."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sd_scripts.library.models.family import Family
from sd_scripts.library.seeds import derive
from sd_scripts.library.train import zero
from sd_scripts.library.train.batches import Batch
from sd_scripts.library.train.curves import Schedule
from sd_scripts.library.train.fused import FusedSteps
from sd_scripts.library.train.losses import make_loss
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.optimizers import learning_rates, make_optimizer, set_learning_rates
from sd_scripts.library.train.predictor import Predictor
from sd_scripts.library.train.schedules import advance, make_scheduler
from sd_scripts.library.train.settings import TrainingSettings
from sd_scripts.library.train.state import Contents
from sd_scripts.library.train.texts import Texts


@dataclass(frozen=True)
class Outcome:
    """What a step came to: its loss and the norm of its gradient, on the device, and the learning rates it had."""

    loss: torch.Tensor
    grad_norm: torch.Tensor
    rates: dict[str, float]


class Learner:
    """Holds what changes in training: the trained modules, the optimizer, the scaler."""

    def __init__(
        self, family: Family, method: Method, texts: Texts, options: TrainingSettings, accelerator: Any, seed: int
    ) -> None:
        groups = method.parameter_groups(options.optimizer.learning_rate)
        predictor = Predictor(family, method.trained(), texts.settings)
        self.optimizer = make_optimizer(groups, options.optimizer)
        # Before accelerate wraps the optimizer: torch's schedulers count its steps.
        self._scheduler = make_scheduler(options.schedule, self.optimizer)
        self._parameters = [parameter for group in groups for parameter in group["params"]]
        self._family = family
        self._texts = texts
        self._accelerator = accelerator
        self._seed = seed
        # An infinite norm clips nothing, and the gradient's own is told all the same.
        self._max_grad_norm = options.optimizer.max_grad_norm or float("inf")
        fused = options.precision.fused_backward_pass
        self._fused = FusedSteps(self.optimizer, self._max_grad_norm) if fused else None
        velocity = family.prediction_type == "v_prediction"
        self._loss = make_loss(family.alphas_T, velocity, options.loss, accelerator.device)
        self._predictor, self._stepper = accelerator.prepare(predictor, self.optimizer)
        self._engine = zero.engine_of(accelerator)
        # torch cannot leave an exchange out of a static graph; what was averaged before stays the same by another.
        self._exchanges_each = options.parallel.ddp_static_graph
        self.contents = Contents(
            method.trained(), self.optimizer, accelerator.scaler, scheduler=self._scheduler, engine=self._engine
        )

    def step(self, batches: Sequence[Batch], step: int, schedule: Schedule) -> Outcome:
        """One optimizer step, the `step`th from 0. The loss is the mean over the items of all batches and processes."""
        items = self._over_processes(torch.tensor(float(sum(batch.count for batch in batches))))
        total = torch.zeros((), device=self._accelerator.device)
        self._stepper.train()
        if self._scheduler is None:
            set_learning_rates(self.optimizer, schedule(step))
        for micro, batch in enumerate(batches):
            torch.manual_seed(derive(self._seed, "step", step, micro))
            with self._sharing_gradients(micro == len(batches) - 1):
                loss = (self.losses(batch) * batch.weights_B).sum() / items
                # Gradients are averaged over processes, and are to be added up.
                self._backward(loss * self._accelerator.num_processes, micro == len(batches) - 1)
            total += loss.detach()
        grad_norm = self._fused.grad_norm() if self._fused else self._step()
        rates = learning_rates(self.optimizer)
        self._stepper.zero_grad()
        if self._scheduler is not None and not self._stepper.step_was_skipped:
            advance(self._scheduler)
        return Outcome(self._over_processes(total), grad_norm, rates)

    def _step(self) -> torch.Tensor:
        """Changes the weights; gives the norm of the gradient."""
        if self._engine:
            return zero.grad_norm(self._engine)
        grad_norm = self._accelerator.clip_grad_norm_(self._parameters, self._max_grad_norm)
        self._stepper.step()
        return grad_norm

    def rest(self) -> None:
        """Puts the weights in place that are to be saved or looked at: schedule-free optimizers train others."""
        self._stepper.eval()

    def losses(self, batch: Batch) -> torch.Tensor:
        """losses_B: how far the prediction is from its target, item by item."""
        noisy_BCHW = self._family.add_noise(batch.latents_BCHW, batch.input_noise_BCHW, batch.timesteps_B)
        target_BCHW = self._family.target(batch.latents_BCHW, batch.noise_BCHW, batch.timesteps_B)
        texts = self._texts.arguments(batch.captions)
        with self._accelerator.autocast():
            prediction_BCHW = self._predictor(noisy_BCHW, batch.timesteps_B, **texts).float()
        return self._loss.per_item(prediction_BCHW, target_BCHW, batch.timesteps_B, batch.mask_BHW)

    def _sharing_gradients(self, last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once a window, with its last batch; DeepSpeed sees to that itself."""
        exchanged = last or self._engine or self._exchanges_each
        return nullcontext() if exchanged else self._accelerator.no_sync(self._predictor)

    def _backward(self, loss: torch.Tensor, last: bool) -> None:
        if self._engine:
            zero.backward(self._engine, loss, last)
        else:
            self._accelerator.backward(loss)

    def whole_weights(self) -> AbstractContextManager[None]:
        """Meanwhile the trained modules' states are whole, where processes hold parts. All processes enter together."""
        if self._engine is None:
            return nullcontext()
        return zero.whole_weights(self.contents.modules.values(), self._engine, self._accelerator.is_main_process)

    def write_parts(self, state: Path) -> None:
        """Where processes hold parts, each writes its own for a state. All processes call this together."""
        if self._engine:
            zero.write_parts(self._engine, state)

    def _over_processes(self, number: torch.Tensor) -> torch.Tensor:
        number = number.to(self._accelerator.device)
        return self._accelerator.reduce(number, "sum") if self._accelerator.num_processes > 1 else number
