"""States: all that training needs to go on exactly, in a folder that appears whole or not at all.

The order of items, their noise and the learning rate follow from the seed and the step; so a state holds those, the
trained weights, the optimizer's memory and the scaler of fp16. No generator's state is needed.
"""

import json
import pickle
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import replacing_folder
from sd_scripts.library.io.checkpoints import write_safetensors
from sd_scripts.library.train import zero
from sd_scripts.library.train.averages import Averages
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.known_optimizers import KEPT_CLASSES
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.options.trainer import TrainerOptions

VERSION = 1
AVERAGES = "ema.safetensors"


@dataclass(frozen=True)
class Facts:
    """What a state says of itself. `plan` is the fingerprint of the present epoch's plan.

    `best_loss` is the lowest validation loss, that after `best_step`; `worse` validations came since.
    """

    step: int
    epoch: int
    window: int
    seed: int
    plan: str
    method: str
    family: str
    optimizer: str
    best_loss: float | None = None
    best_step: int = 0
    worse: int = 0
    version: int = VERSION

    def place(self) -> Place:
        """Where training stands."""
        return Place(self.step, self.epoch, self.window)


@dataclass(frozen=True)
class Contents:
    """What is saved and restored: trained modules by part, the optimizer, and where there are such the scaler of fp16
    and the scheduler object of the learning rate.

    `engine`: DeepSpeed's, whose processes hold parts of these.
    """

    modules: dict[str, nn.Module]
    optimizer: Any
    scaler: Any = None
    scheduler: Any = None
    engine: Any = None
    averages: Averages | None = None

    def whole(self, main: bool) -> AbstractContextManager[None]:
        """Meanwhile the modules' states are whole in the `main` process, where processes hold parts of them.

        All processes enter together.
        """
        return nullcontext() if self.engine is None else zero.whole_weights(self.modules.values(), self.engine, main)

    def write_parts(self, folder: Path) -> None:
        """Where processes hold parts, each writes its own for a state. All processes call this together."""
        if self.engine is not None:
            zero.write_parts(self.engine, folder)


def save_state(folder: Path, facts: Facts, contents: Contents) -> Path:
    """Writes a state. Errors: BadFile."""
    with replacing_folder(folder) as beside:
        for part, module in contents.modules.items():
            write_safetensors(beside / f"{part}.safetensors", module.state_dict())
        if contents.engine is not None:
            zero.parts_beside(folder).rename(beside / "deepspeed")
        else:
            torch.save(contents.optimizer.state_dict(), beside / "optimizer.pt")
        if contents.scaler is not None:
            torch.save(contents.scaler.state_dict(), beside / "scaler.pt")
        if contents.averages is not None:
            write_safetensors(beside / AVERAGES, contents.averages.state_dict())
        if contents.scheduler is not None:
            kept = {"class": _class_of(contents.scheduler), "state": contents.scheduler.state_dict()}
            torch.save(kept, beside / "scheduler.pt")
        (beside / "state.json").write_text(json.dumps(asdict(facts), indent=2), encoding="utf-8")
    return folder


def read_facts(folder: str) -> Facts:
    """What a state says of itself. Errors: BadOption."""
    try:
        values = json.loads((Path(folder) / "state.json").read_text(encoding="utf-8"))
        facts = Facts(**values)
        if not all(isinstance(number, int) for number in (facts.step, facts.epoch, facts.window, facts.seed)):
            raise ValueError("step, epoch, window and seed are whole numbers")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BadOption(
            "resume", f"--resume {folder}: this is no state that this program wrote whole. Choose another."
        ) from error
    if facts.version != VERSION:
        raise BadOption(
            "resume", f"--resume {folder}: its version {facts.version} is not known to this program. Update it."
        )
    return facts


def restore(folder: str, facts: Facts, contents: Contents) -> None:
    """Puts a state's weights, optimizer and scaler in place of the present ones. Errors: BadOption."""
    rates = [group["lr"] for group in contents.optimizer.param_groups]
    if contents.engine is not None:
        zero.read_parts(contents.engine, Path(folder) / "deepspeed")
    else:
        _restore_whole(Path(folder), facts, contents)
    if contents.scheduler is not None:
        _restore_scheduler(Path(folder) / "scheduler.pt", contents.scheduler)
    else:
        # The optimizer's memory is the state's; the learning rate is what the options say now.
        for group, rate in zip(contents.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
            group.pop("initial_lr", None)
    if contents.scaler is not None:
        contents.scaler.load_state_dict(_load(Path(folder) / "scaler.pt"))
    if contents.averages is not None:
        _restore_averages(Path(folder) / AVERAGES, contents.averages)


def check_fits(folder: str, facts: Facts, method: str, family: str, optimizer: str) -> None:
    """Raises BadOption where the state is of another kind of training."""
    for what, saved, now in (
        ("method", facts.method, method),
        ("kind of model", facts.family, family),
        ("optimizer", facts.optimizer, optimizer),
    ):
        if saved != now:
            raise BadOption("resume", f"--resume {folder}: its {what} is {saved}, and this run's is {now}.")


def check_asked(folder: str, facts: Facts, method: str, options: TrainerOptions) -> None:
    """What the options alone tell of whether training can go on from a state. Errors: BadOption."""
    if options.length.max_train_epochs is None:
        check_end(facts.step, options.length.max_train_steps)
    own = optimizer_name(options.optimizer)
    same = facts.optimizer.partition(" ")[0] == own
    check_fits(folder, facts, method, facts.family, facts.optimizer if same else own)
    asked = options.schedule.lr_scheduler_type
    if asked and not (Path(folder) / "scheduler.pt").is_file():
        sentence = f"it was saved without --lr_scheduler_type {asked}. Leave that out, or choose another state."
        raise BadOption("resume", f"--resume {folder}: {sentence}")


def check_end(step: int, total_steps: int) -> None:
    """Raises BadOption where nothing is left to train."""
    if step >= total_steps:
        text = f"The state stands at step {step:,}, and training ends at {total_steps:,}."
        raise BadOption("max_train_steps", f"{text} Ask for more steps or epochs.")


def check_parts(folder: str, parts: Iterable[str]) -> None:
    """Raises BadOption where a part that is to be trained was not."""
    for name in (f"{part}.safetensors" for part in parts):
        if not (Path(folder) / name).is_file():
            sentence = f"it has no {name}: that part was not trained. Train as when it was saved."
            raise BadOption("resume", f"--resume {folder}: {sentence}")


def _restore_whole(folder: Path, facts: Facts, contents: Contents) -> None:
    for part, module in contents.modules.items():
        _restore_module(folder / f"{part}.safetensors", module)
    try:
        contents.optimizer.load_state_dict(_load(folder / "optimizer.pt"))
    except (ValueError, KeyError) as error:
        sentence = (
            f"--resume {folder}: its optimizer is {facts.optimizer} over other parts. Train as when it was saved."
        )
        raise BadOption("resume", sentence) from error


def _restore_module(file: Path, module: nn.Module) -> None:
    tensors = _tensors(file)
    own = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if own != {name: tensor.shape for name, tensor in tensors.items()}:
        raise _of_another(file)
    module.load_state_dict(tensors)


def _restore_averages(file: Path, averages: Averages) -> None:
    """A state without them is taken too: the average then begins with its weights."""
    if not file.is_file():
        averages.begin_anew()
        return
    try:
        averages.load_state_dict(_tensors(file))
    except ValueError as error:
        raise _of_another(file) from error


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        sentence = f"{file.name} is broken. Choose an earlier state."
        raise BadOption("resume", f"--resume {file.parent}: {sentence}") from error


def _of_another(file: Path) -> BadOption:
    sentence = f"{file.name} is of another model or network. Train as when it was saved."
    return BadOption("resume", f"--resume {file.parent}: {sentence}")


def _restore_scheduler(file: Path, scheduler: Any) -> None:
    kept = _load(file)
    if kept["class"] != _class_of(scheduler):
        sentence = f"its --lr_scheduler_type is {kept['class']}, and this run's is {_class_of(scheduler)}."
        raise BadOption("resume", f"--resume {file.parent}: {sentence}")
    scheduler.load_state_dict(kept["state"])


def _class_of(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__name__}"


def _known_classes() -> list[Any]:
    """Classes beside numbers that optimizers keep in their state, of packages that are in use."""
    places = [name.rpartition(".") for name in KEPT_CLASSES]
    return [getattr(sys.modules[module], name) for module, _, name in places if module in sys.modules]


def _load(file: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_known_classes()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadOption("resume", f"--resume {file.parent}: it has no {file.name}. Choose another state.") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        sentence = f"{file.name} is broken, or holds more than numbers. Choose another state."
        raise BadOption("resume", f"--resume {file.parent}: {sentence}") from error
