"""The optimizer step: from a window of batches to changed weights."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from sd_scripts.library.models.family import Family
from sd_scripts.library.seeds import derive, sow
from sd_scripts.library.train import zero
from sd_scripts.library.train.averages import Averages
from sd_scripts.library.train.batches import Batch
from sd_scripts.library.train.compiling import Compiled, begin_pass
from sd_scripts.library.train.curves import Schedule
from sd_scripts.library.train.fused import FusedSteps
from sd_scripts.library.train.losses import make_loss
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.optimizers import learning_rates, make_optimizer, set_learning_rates
from sd_scripts.library.train.predictor import Predictor
from sd_scripts.library.train.rounding import StochasticRounding
from sd_scripts.library.train.schedules import advance, make_scheduler
from sd_scripts.library.train.smaller import Smaller, free_memory
from sd_scripts.library.train.state import Contents
from sd_scripts.library.train.stepping import Guard, Steps, WholeSteps, leaves_out_by_itself
from sd_scripts.library.train.text_stop import TextStop
from sd_scripts.library.train.texts import Texts
from sd_scripts.library.train.timing import StepClock, StepTimes
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.validation import AverageOptions


@dataclass(frozen=True)
class Outcome:
    """What a step came to: its loss, the share of each batch in it and the gradient's norm, on the device; the rates
    it had; how long its parts took. `taken` is False where it is known that the weights are as they were."""

    loss: torch.Tensor
    losses_N: torch.Tensor
    grad_norm: torch.Tensor
    rates: dict[str, float]
    times: StepTimes
    taken: bool = True


class Learner:
    """Holds what changes in training: the trained modules, the optimizer, the scaler."""

    def __init__(
        self,
        family: Family,
        method: Method,
        texts: Texts,
        options: TrainerOptions,
        accelerator: Any,
        seed: int,
        smaller: Smaller | None = None,
        compiled: Compiled | None = None,
    ) -> None:
        self._bare = Predictor(family, method.trained(), texts.settings)
        self.optimizer = make_optimizer(method.parameter_groups(options.optimizer.learning_rate), options.optimizer)
        # Before accelerate wraps the optimizer: torch's schedulers count its steps.
        self._scheduler = make_scheduler(options.schedule, self.optimizer)
        self._rounding = StochasticRounding(self.optimizer, seed) if options.precision.stochastic_rounding else None
        self._text_stop = TextStop(family, method.trained(), texts, self.optimizer, options.text_stop)
        self._family = family
        self._method = method
        self._strength = 1.0
        self._texts = texts
        self._accelerator = accelerator
        self._seed = seed
        self._compilation = options.compilation
        self._smaller, self._compiled = smaller, compiled
        self.clock = StepClock(accelerator.device)
        velocity = family.prediction_type == "v_prediction"
        self._loss = make_loss(family.alphas_T, velocity, options.loss, accelerator.device)
        self._predictor, self._stepper = accelerator.prepare(self._bare, self.optimizer)
        engine, scaler = zero.engine_of(accelerator), accelerator.scaler
        self.changes = 0
        """Steps that could change weights: at a rate above 0, and not left out."""
        self._averages = _averages(method, options.average)
        self.steps = self._way_of_stepping(options)
        self.contents = Contents(method.trained(), self.optimizer, scaler, self._scheduler, engine, self._averages)

    def step(self, batches: Sequence[Batch], step: int, schedule: Schedule) -> Outcome:
        """One optimizer step, the `step`th from 0. The loss is the mean over the items of all batches and processes."""
        count, device = float(sum(batch.count for batch in batches)), self._accelerator.device
        # Made where it is needed: to bring a number there waits for the device.
        items = self._over_processes(torch.full((), count, device=device))
        self.come_to(step)
        self._stepper.train()
        if self._scheduler is None:
            set_learning_rates(self.optimizer, schedule(step))
        losses_N = self._over_processes(torch.stack(self._backward(batches, step, items)))
        self._use_strength(1.0)
        loss = losses_N.sum()
        if self.steps.apart:
            self.clock.then("optimizer")
        grad_norm, taken = self.steps.finish(loss)
        times = self.clock.stop()
        rates = learning_rates(self.optimizer)
        if taken:
            self.changes += any(rates.values())
            if self._averages:
                self._averages.update()
            if self._scheduler is not None:
                advance(self._scheduler)
        return Outcome(loss, losses_N, grad_norm, rates, times, taken)

    def _backward(self, batches: Sequence[Batch], step: int, items: torch.Tensor) -> list[torch.Tensor]:
        """Adds up the gradients of all batches; each batch's share in the loss. Once more where another way is left."""
        while True:
            try:
                return [self._backward_one(batches, micro, step, items) for micro in range(len(batches))]
            except (MemoryError, RuntimeError) as error:
                largest = max(len(batch.images) for batch in batches)
                smaller = self._smaller is not None and self._smaller.helps(error, largest, step + 1)
                if not smaller and not self._compiles_otherwise(error):
                    raise
            # Behind the handler: the error held what the passes had made.
            self._stepper.zero_grad()
            free_memory()

    def _backward_one(self, batches: Sequence[Batch], micro: int, step: int, items: torch.Tensor) -> torch.Tensor:
        sow(derive(self._seed, "step", step, micro))
        self._use_strength(batches[micro].strength)
        total = torch.zeros((), device=self._accelerator.device)
        parts = self._smaller.parts(batches[micro]) if self._smaller else [batches[micro]]
        for part in parts:
            last = micro == len(batches) - 1 and part is parts[-1]
            with self.steps.exchange(last):
                self.clock.then("forward")
                loss = (self.losses(part) * part.weights_B).sum() / items
                self.clock.then("backward")
                # Gradients are averaged over processes, and are to be added up.
                self.steps.backward(loss * self._accelerator.num_processes, last)
            total += loss.detach()
        return total

    def come_to(self, step: int) -> None:
        """Before the `step`th step: it gets its lots, and text encoders are frozen whose training ends or ended."""
        if self._text_stop.due(step):
            # What stays is what is saved: averages, and not what schedule-free optimizers train.
            self.rest()
            if self._averages:
                self._averages.settle(self._text_stop.parameters())
            self._text_stop.freeze()
        if self._rounding:
            self._rounding.come_to(step)

    def rest(self) -> None:
        """Puts the weights in place that are to be saved or looked at: schedule-free optimizers train others."""
        self._stepper.eval()

    def averaged(self) -> AbstractContextManager[None]:
        """Meanwhile the weights are as they are saved, drawn with and validated: their average, where one is kept."""
        return self._averages.in_place() if self._averages else nullcontext()

    def losses(self, batch: Batch) -> torch.Tensor:
        """losses_B: how far the prediction is from its target, item by item."""
        return self._losses(batch, self._predictor)

    def look(self, batch: Batch) -> torch.Tensor:
        """losses_B of a batch that is not learnt. Other processes need not look at one at the same time."""
        self._use_strength(batch.strength)
        with torch.no_grad():
            try:
                losses_B = self._losses(batch, self._bare)
            except RuntimeError as error:
                if not self._compiles_otherwise(error):
                    raise
                losses_B = self._losses(batch, self._bare)
        self._use_strength(1.0)
        return losses_B

    def add_up(self, figures: torch.Tensor) -> torch.Tensor:
        """The sum of figures over all processes, in each of them; on the CPU."""
        return self._over_processes(figures).cpu()

    def _losses(self, batch: Batch, predictor: Any) -> torch.Tensor:
        noisy_BCHW = self._family.add_noise(batch.latents_BCHW, batch.input_noise_BCHW, batch.timesteps_B)
        target_BCHW = self._family.target(batch.latents_BCHW, batch.noise_BCHW, batch.timesteps_B)
        texts = self._texts.arguments(batch.captions)
        begin_pass(self._compilation)
        with self._accelerator.autocast() if self._accelerator.native_amp else nullcontext():
            prediction_BCHW = predictor(noisy_BCHW, batch.timesteps_B, batch.sizes_B6, **texts).float()
        return self._loss.per_item(prediction_BCHW, target_BCHW, batch.timesteps_B, batch.mask_BHW)

    def _compiles_otherwise(self, error: Exception) -> bool:
        return self._compiled is not None and self._compiled.helps(error)

    def _use_strength(self, strength: float) -> None:
        if strength != self._strength:
            self._method.use_strength(strength)
            self._strength = strength

    def _way_of_stepping(self, options: TrainerOptions) -> Steps:
        # An infinite norm clips nothing, and the gradient's own is told all the same.
        max_norm = options.optimizer.max_grad_norm or float("inf")
        if engine := zero.engine_of(self._accelerator):
            return zero.DividedSteps(engine)
        if options.precision.fused_backward_pass or options.groups.portions:
            return FusedSteps(self.optimizer, max_norm, options.groups.portions)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        guard = self._guard(lasting=options.trouble.on_nonfinite != "skip")
        return WholeSteps(self._accelerator, self._predictor, self.optimizer, parameters, max_norm, guard)

    def _guard(self, lasting: bool) -> Guard:
        alone = leaves_out_by_itself(self.optimizer, self._accelerator.device, self._accelerator.scaler)
        # What follows a step on the host has to know at once whether it was taken.
        late = alone and self._averages is None and self._scheduler is None
        return Guard(self._stepper, self.optimizer, late, lasting)

    def _over_processes(self, number: torch.Tensor) -> torch.Tensor:
        number = number.to(self._accelerator.device)
        return self._accelerator.reduce(number, "sum") if self._accelerator.num_processes > 1 else number


def _averages(method: Method, options: AverageOptions) -> Averages | None:
    if not options.ema_decay:
        return None
    return Averages(method.trained(), options.ema_decay, "cpu" if options.ema_on_cpu else None)
