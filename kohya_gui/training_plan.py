"""How long a training is, what it saves and when, and the disk that takes: from its options, without torch."""

from dataclasses import dataclass
from pathlib import Path

from kohya_gui.counted import Counted, counted
from kohya_gui.draft import Draft, once
from sd_scripts.library.train.inversion_rules import name_of
from sd_scripts.library.train.saving import Kind, Names, Occasion

_BYTES = {"float": 4, "fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True)
class Saves:
    """Saves of one kind: the first and the last that stay, and how many; `every`: so many epochs or steps apart."""

    kind: Kind
    every: int
    first: Path
    last: Path
    count: int


@dataclass(frozen=True)
class TrainingPlan:
    """What a training will do. `kept`: the models that stay, the final one included; `states` likewise."""

    data: Counted
    batches: int
    steps_per_epoch: int
    steps: int
    epochs: int
    kept: tuple[Saves, ...]
    states: int

    @property
    def saves(self) -> int:
        """How many models stay."""
        return sum(saves.count for saves in self.kept)


@once
def training_plan(draft: Draft) -> TrainingPlan | None:
    """The plan of a training; None as long as its data do not tell, and where a class of the user's own gives them."""
    data = counted(draft)
    if data is None:
        return None
    batches = sum(bucket.batches for bucket in data.buckets)
    steps_per_epoch = -(-batches // (draft.get("gradient_accumulation_steps") or 1))
    wanted = draft.get("max_train_epochs")
    steps = wanted * steps_per_epoch if wanted else draft.get("max_train_steps")
    epochs = -(-steps // steps_per_epoch)
    kept = _kept(draft, steps, epochs, states=False)
    states = sum(saves.count for saves in _kept(draft, steps, epochs, states=True)) if draft.get("save_state") else 0
    at_end = int(not states and draft.get("save_state_on_train_end"))
    return TrainingPlan(data, batches, steps_per_epoch, steps, epochs, kept, states + at_end)


def _kept(draft: Draft, steps: int, epochs: int, states: bool) -> tuple[Saves, ...]:
    # A new word names its files itself.
    name = draft.get("output_name") or name_of(draft.get("token_string"))
    names = Names(draft.path("output_dir") or Path(), name)
    ratio = draft.get("save_n_epoch_ratio")
    every_epochs = max(1, epochs // ratio) if ratio else draft.get("save_every_n_epochs")
    every_steps = draft.get("save_every_n_steps")
    kept = []
    # The last epoch is saved as the end, not once more.
    if every_epochs and (made := (epochs - 1) // every_epochs):
        last = _last(draft, "epochs", states)
        kept.append(_saves(names, "epoch", every_epochs, made, min(made, last or made)))
    if every_steps and (made := steps // every_steps):
        last = _last(draft, "steps", states)
        kept.append(_saves(names, "step", every_steps, made, min(made, 1 + last // every_steps) if last else made))
    end = names.path(Occasion("last", 0))
    return (*kept, Saves("last", 0, end, end, 1))


def _last(draft: Draft, unit: str, states: bool) -> int | None:
    own: int | None = draft.get(f"save_last_n_{unit}_state") if states else None
    return own or draft.get(f"save_last_n_{unit}")


def _saves(names: Names, kind: Kind, every: int, made: int, kept: int) -> Saves:
    first, last = (names.path(Occasion(kind, every * place)) for place in (made - kept + 1, made))
    return Saves(kind, every, first, last, kept)


def weights_bytes(draft: Draft) -> int:
    """Bytes of one weight in training: 4, or 2 where full_fp16 or full_bf16 asks for it."""
    return 2 if draft.get("full_fp16") or draft.get("full_bf16") else 4


def save_bytes(draft: Draft, size_bytes: int, dtype: str | None) -> float:
    """How large a saved model will be, from the size of the base model and the formats of both."""
    saved = _BYTES[draft.get("save_precision")] if draft.get("save_precision") else weights_bytes(draft)
    return size_bytes * saved / _BYTES.get(dtype or "", 4)
