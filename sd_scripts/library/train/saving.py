"""What a run writes into its folder: names, formats, and which older files go. Needs torch only to write."""

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.headers import pickled_object, safetensors_header
from sd_scripts.library.io.leftovers import discard
from sd_scripts.library.models.family import FileFormat
from sd_scripts.options.network import NetworkFormatOptions
from sd_scripts.options.training import ModelFormatOptions, SavingOptions, StateOptions

if TYPE_CHECKING:
    import torch

    from sd_scripts.library.train.course import Course

Kind = Literal["epoch", "step", "last", "best"]


class Occasion(NamedTuple):
    """Why something is saved: after an epoch or a step, at the end, as the best; `number` is that epoch or step."""

    kind: Kind
    number: int


@dataclass(frozen=True)
class Names:
    """Names in an output folder: X-000004, X-step00000100, X and X-best.

    Without a name epoch-000004, at-step00000100, last and last-best.
    """

    folder: Path
    output_name: str | None

    def path(self, occasion: Occasion) -> Path:
        """The model's path without its ending."""
        if occasion.kind in ("last", "best"):
            ending = "-best" if occasion.kind == "best" else ""
            return self.folder / f"{self.output_name or 'last'}{ending}"
        digits = {"epoch": 6, "step": 8}[occasion.kind]
        return self.folder / f"{self._prefix(occasion.kind)}{occasion.number:0{digits}d}"

    def state(self, occasion: Occasion) -> Path:
        """The folder of the state."""
        path = self.path(occasion)
        return path.with_name(path.name + "-state")

    def has_last(self, step: int) -> bool:
        """Whether the model of the end, after this step, is there, in whatever format."""
        last = self.path(Occasion("last", 0))
        paths = (Path(f"{last}{ending}") for ending in ("", ".safetensors", ".ckpt", ".pt"))
        return any(path.exists() and not _is_of_another(path, step) for path in paths)

    def older(self, kind: Kind, before: int, states: bool) -> list[Path]:
        """This run's models, or states, of epochs or steps before a number. None, where no whole one would stay."""
        if kind in ("last", "best") or not before:
            return []
        saved = list(self._saved(kind, states))
        stays = any(number >= before and is_whole(path) for number, path in reversed(saved))
        return [path for number, path in saved if number < before] if stays else []

    def states(self) -> list[Path]:
        """All of this run's states, whole or not."""
        if not self.folder.is_dir():
            return []
        last, numbered = self.state(Occasion("last", 0)), [*self._saved("epoch", True), *self._saved("step", True)]
        return [last] * last.is_dir() + [path for _, path in numbered]

    def _prefix(self, kind: Kind) -> str:
        if kind == "epoch":
            return f"{self.output_name or 'epoch'}-"
        return f"{self.output_name or 'at'}-step"

    def _saved(self, kind: Kind, states: bool) -> Iterator[tuple[int, Path]]:
        ending = "-state" if states else r"(?:\.safetensors|\.ckpt|\.pt)?"
        pattern = re.compile(re.escape(self._prefix(kind)) + r"(\d{6,})" + ending)
        mark = "state.json" if states else "model_index.json"
        for path in sorted(self.folder.iterdir()):
            match = pattern.fullmatch(path.name)
            # A folder of that name which is no model or state is not ours to remove.
            if match and (path.is_file() or (path / mark).is_file()):
                yield int(match[1]), path


def is_whole(saved: Path) -> bool:
    """Whether a model or a state reads back: the header of each of its files, and all the bytes that it promises."""
    try:
        for file in saved.rglob("*") if saved.is_dir() else [saved]:
            if file.suffix == ".json":
                json.loads(file.read_bytes())
            elif file.suffix == ".safetensors":
                safetensors_header(file)
            elif file.suffix in (".ckpt", ".pt", ".bin") and not zipfile.is_zipfile(file):
                # An archive ends with its table of contents. What torch wrote before 2020 was none.
                pickled_object(file)
    except (BadFile, OSError, ValueError):
        return False
    return True


def remove(saved: Path) -> None:
    """Removes a model or a state, be it a file or a folder, as a whole."""
    discard(saved)


def file_format(options: ModelFormatOptions | NetworkFormatOptions, source: FileFormat) -> FileFormat:
    """The format to save in: as asked, else the base model's; use_safetensors makes it the safetensors form."""
    chosen: FileFormat = options.save_model_as or source
    if isinstance(options, NetworkFormatOptions) or not options.use_safetensors:
        return chosen
    return "diffusers_safetensors" if chosen.startswith("diffusers") else "safetensors"


def file_dtype(saving: SavingOptions) -> "torch.dtype | None":
    """The number format of the saved weights; None keeps that of the training."""
    import torch

    names = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    return names[saving.save_precision] if saving.save_precision else None


def save_every_epochs(saving: SavingOptions, course: "Course") -> int | None:
    """Epochs between two saves; save_n_epoch_ratio spreads at least so many saves over all epochs."""
    if saving.save_n_epoch_ratio:
        return max(1, course.epochs // saving.save_n_epoch_ratio)
    return saving.save_every_n_epochs


def occasions(saving: SavingOptions, course: "Course", step: int, ended_epoch: int | None) -> list[Occasion]:
    """What is to be saved after a step; the last epoch is saved as the end, not once more as an epoch."""
    every_epochs = save_every_epochs(saving, course)
    found = []
    if saving.save_every_n_steps and step % saving.save_every_n_steps == 0:
        found.append(Occasion("step", step))
    if ended_epoch and every_epochs and ended_epoch % every_epochs == 0 and ended_epoch < course.epochs:
        found.append(Occasion("epoch", ended_epoch))
    return found


def kept_from(occasion: Occasion, saving: SavingOptions, state: StateOptions, course: "Course") -> tuple[int, int]:
    """The first epoch or step whose model, and whose state, stays. 0: all stay.

    save_last_n_epochs counts saves (with save_every_n_epochs 2, n = 3 keeps three), save_last_n_steps counts steps.
    """
    if occasion.kind == "epoch":
        every = save_every_epochs(saving, course) or 1
        models = saving.save_last_n_epochs
        states = state.save_last_n_epochs_state or models
        return _after(occasion.number, models, every), _after(occasion.number, states, every)
    models, states = saving.save_last_n_steps, state.save_last_n_steps_state or saving.save_last_n_steps
    return _since(occasion.number, models), _since(occasion.number, states)


def _after(epoch: int, saves: int | None, every: int) -> int:
    return max(0, epoch - saves * every + 1) if saves else 0


def _since(step: int, steps: int | None) -> int:
    return max(0, step - steps) if steps else 0


def _is_of_another(model: Path, step: int) -> bool:
    """Whether a model is broken, or says itself that it is of another step: an earlier training left it."""
    if model.suffix != ".safetensors":
        return False
    try:
        return safetensors_header(model)[1].get("ss_steps", str(step)) != str(step)
    except BadFile:
        return True
