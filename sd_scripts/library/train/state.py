"""States: all that training needs to go on exactly, in a folder that appears whole or not at all.

A state holds the trained weights, the optimizer's memory, the scaler of fp16, the scheduler and the average where there
are such, the last losses, and step, epoch and seed. It holds no generator's state, as none lives longer than a
micro-step: the order of items, their noise and crops, and what networks and optimizers draw by lot derive from seed,
epoch, item and step (seeds.py).
"""

import json
import pickle
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import replacing_folder
from sd_scripts.library.io.checkpoints import write_pickle, write_safetensors
from sd_scripts.library.io.drafts import Draft, Held, HeldValue, Saved
from sd_scripts.library.train import zero
from sd_scripts.library.train.averages import Averages
from sd_scripts.library.train.known_optimizers import KEPT_CLASSES
from sd_scripts.library.train.optimizers import as_saved, as_weights_lie
from sd_scripts.library.train.state_facts import Facts, write_facts
from sd_scripts.library.train.state_files import AVERAGES, seal

LOSSES = "losses.json"


@dataclass(frozen=True)
class Anew:
    """What a branch does not take from its state, as options have changed it; a resumed training takes everything.

    `arguments`: those of the optimizer that are what the options say now.
    """

    optimizer: bool = False
    scheduler: bool = False
    arguments: frozenset[str] = frozenset()
    option: str = "resume"
    """The option that names the state, which errors blame."""

    def again(self, contents: "Contents") -> bool:
        """Whether that can be done a second time: an optimizer or scheduler is as at its first step only once."""
        return not self.optimizer and not (self.scheduler and contents.scheduler is not None)


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


def save_state(folder: Path, facts: Facts, contents: Contents, losses: Sequence[float] = ()) -> Path:
    """Writes a state; `losses` are the last ones, as far as they are kept. Errors: BadFile."""
    return draft(facts, contents, losses).write(folder).path


def draft(facts: Facts, contents: Contents, losses: Sequence[float] = ()) -> Draft:
    """A state, to be written."""
    weights = {f"{part}.safetensors": Held(module.state_dict()) for part, module in contents.modules.items()}
    if contents.averages is not None:
        weights[AVERAGES] = Held(contents.averages.state_dict())
    values, recent, divided = _values(contents), list(losses), contents.engine is not None

    def write(folder: Path) -> Saved:
        with replacing_folder(folder) as beside:
            known = {name: write_safetensors(beside / name, held.tensors) for name, held in weights.items()}
            known |= {name: write_pickle(beside / name, held.value) for name, held in values.items()}
            if divided:
                zero.parts_beside(folder).rename(beside / "deepspeed")
            (beside / LOSSES).write_text(json.dumps(recent), encoding="utf-8")
            write_facts(beside, facts)
            seal(beside, known)
        return Saved(folder)

    return Draft([*weights.values(), *values.values()], write)


def _values(contents: Contents) -> dict[str, HeldValue]:
    """{file: what it holds} of all but tensors by name."""
    values = {}
    if contents.engine is None:
        values["optimizer.pt"] = HeldValue(contents.optimizer.state_dict())
    if contents.scaler is not None:
        values["scaler.pt"] = HeldValue(contents.scaler.state_dict())
    if contents.scheduler is not None:
        kept = {"class": _class_of(contents.scheduler), "state": contents.scheduler.state_dict()}
        values["scheduler.pt"] = HeldValue(kept)
    return values


def restore(folder: str, facts: Facts, contents: Contents, anew: Anew | None = None) -> None:
    """Puts a state's weights, optimizer, scheduler and scaler in place of the present ones. Errors: BadOption."""
    anew = anew or Anew()
    try:
        _restore(Path(folder), facts, contents, anew)
    except _Unfit as unfit:
        raise BadOption(anew.option, f"--{anew.option} {folder}: {unfit}") from unfit


class _Unfit(Exception):
    """What is wrong with a state, as a sentence goes on."""


def _restore(folder: Path, facts: Facts, contents: Contents, anew: Anew) -> None:
    own = [{name: value for name, value in group.items() if name != "params"} for group in _groups(contents)]
    if contents.engine is not None:
        zero.read_parts(contents.engine, folder / "deepspeed")
    else:
        _restore_whole(folder, facts, contents, anew)
    for group, asked in zip(_groups(contents), own, strict=True):
        taken = set(anew.arguments)
        if contents.scheduler is None or anew.scheduler:
            # The optimizer's memory is the state's; the learning rate is what the options say now.
            group.pop("initial_lr", None)
            taken |= {"lr", "initial_lr"}
        group |= {name: asked[name] for name in taken if name in asked}
    if contents.scheduler is not None:
        _restore_scheduler(folder / "scheduler.pt", facts, contents.scheduler, anew)
    if contents.scaler is not None and ((folder / "scaler.pt").is_file() or anew.option == "resume"):
        contents.scaler.load_state_dict(_load(folder / "scaler.pt"))
    if contents.averages is not None:
        _restore_averages(folder / AVERAGES, contents.averages)


def _groups(contents: Contents) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = contents.optimizer.param_groups
    return groups


def read_losses(folder: str) -> list[float]:
    """The last losses before a state was saved, for the mean that is told; none of an older state."""
    file = Path(folder) / LOSSES
    return [float(loss) for loss in json.loads(file.read_text(encoding="utf-8"))] if file.is_file() else []


def _restore_whole(folder: Path, facts: Facts, contents: Contents, anew: Anew) -> None:
    for part, module in contents.modules.items():
        _restore_module(folder / f"{part}.safetensors", module)
    if anew.optimizer:
        return
    kept = _load(folder / "optimizer.pt")
    try:
        contents.optimizer.load_state_dict(kept)
    except (ValueError, KeyError) as error:
        raise _Unfit(f"its optimizer is {facts.optimizer} over other parts. Train as when it was saved.") from error
    if anew.option == "resume":
        as_saved(contents.optimizer, kept)
    try:
        as_weights_lie(contents.optimizer)
    except ValueError as error:
        raise _Unfit(f"{error}. Set --opt_channels_last as when it was saved.") from error


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
        raise _Unfit(f"{file.name} is broken. Choose an earlier state.") from error


def _of_another(file: Path) -> _Unfit:
    return _Unfit(f"{file.name} is of another model or network. Train as when it was saved.")


def _restore_scheduler(file: Path, facts: Facts, scheduler: Any, anew: Anew) -> None:
    if anew.scheduler:
        _bring_to(scheduler, facts.step)
        return
    kept = _load(file)
    if kept["class"] != _class_of(scheduler):
        raise _Unfit(f"its --lr_scheduler_type is {kept['class']}, and this run's is {_class_of(scheduler)}.")
    scheduler.load_state_dict(kept["state"])


def _bring_to(scheduler: Any, step: int) -> None:
    """Where a scheduler would be, had it been there from the first step."""
    with warnings.catch_warnings():
        # torch warns of a scheduler that steps while its optimizer does not.
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(step):
            scheduler.step()


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
        raise _Unfit(f"it has no {file.name}. Choose another state.") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise _Unfit(f"{file.name} is broken, or holds more than numbers. Choose another state.") from error
