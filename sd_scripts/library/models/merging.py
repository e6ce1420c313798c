"""Merges whole models: each weight is the sum of the models' own, times their ratios. One tensor at a time."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io import asked
from sd_scripts.library.io.checkpoints import Checkpoint
from sd_scripts.library.io.streaming import write_one_by_one
from sd_scripts.library.io.tensor_file import Form
from sd_scripts.library.models.layout import TEXT_PREFIX, UNET_PREFIX
from sd_scripts.library.models.layout.text import WRAPPER
from sd_scripts.library.models.numbers import device_of, dtype_of
from sd_scripts.library.models.original import current_names, open_tensors
from sd_scripts.library.models.sources import Source
from sd_scripts.library.report import Report, counted
from sd_scripts.options.model_tools import MergeModelsOptions

_BARE = tuple(TEXT_PREFIX["sd1"] + part for part in ("embeddings.", "encoder.", "final_layer_norm."))
# What a header says of the first model's own file, its training, and its name.
_STALE = ("format", "ss_", "sshs_", "modelspec.title", "modelspec.date", "modelspec.hash", "modelspec.merged_from")


def merge_models(options: MergeModelsOptions, report: Report) -> None:
    """The whole merge. Errors: BadOption and BadFile, before anything is written."""
    output, ratios = _check(options)
    device = device_of("device", options.device)
    report.phase("load_model", f"Opening {counted(len(options.models or []), 'model')}")
    models = [_Model(*open_tensors(path)) for path in options.models or []]
    merge = _Merge(models, ratios, options, device)
    merge.check()
    first = models[0]
    saving = dtype_of(options.saving_precision)
    slots = {name: Form(saving if merge.summed(name) else first.dtype(name), first.shape(name)) for name in first.names}
    report.phase("merge_models", f"Merging {len(slots):,} tensors into {output}", len(slots))
    write_one_by_one(output, slots, merge.tensor, _metadata(models), report)
    report.saved(output, "model")
    _tell(merge, options, output, report)


class _Model:
    """A model's tensors under the names that today's files have; older ones of SD1 lack a level in the text encoder."""

    def __init__(self, source: Source, file: Checkpoint) -> None:
        self.file, self.path = file, source.path
        self.kind, self.metadata = source.variant.name, source.metadata
        self.names = {_new_name(name): name for name in current_names(file)}

    def shape(self, name: str) -> tuple[int, ...]:
        return self.file.shapes[self.names[name]]

    def tensor(self, name: str) -> Tensor:
        return self.file.tensor(self.names[name])

    def dtype(self, name: str) -> torch.dtype:
        return self.tensor(name).dtype


class _Merge:
    """`missing`: how many tensors each later model lacks of those that are summed; `skipped`: what only they have."""

    def __init__(
        self, models: list[_Model], ratios: list[float], options: MergeModelsOptions, device: torch.device
    ) -> None:
        self.models, self.ratios, self.device = models, ratios, device
        self.first = models[0]
        self.unet_only = options.unet_only
        self.precision = dtype_of(options.precision)
        later = [(model, name) for model in models[1:] for name in model.names if name not in self.first.names]
        self.skipped = [f"{model.path.name}: {name}" for model, name in later]
        self.missing = [sum(map(self.summed, self.first.names.keys() - model.names.keys())) for model in models]

    def check(self) -> None:
        """The models are of one family and of equal shapes. Errors: BadFile."""
        for model in self.models:
            if model.kind != self.first.kind:
                other = f"of another family than {self.first.path}"
                raise BadFile(f"{model.path} is {other}, so their weights cannot be added.")
            for name in (name for name in self.first.names if name in model.names):
                if model.shape(name) != self.first.shape(name):
                    shapes = f"{model.shape(name)}, where {self.first.path} has {self.first.shape(name)}"
                    raise BadFile(f"{model.path}: {name} has the shape {shapes}. They cannot be merged.")

    def summed(self, name: str) -> bool:
        """Whether a tensor is a sum; others, such as numbers of positions, are the first model's."""
        in_unet = name.startswith(UNET_PREFIX) or not self.unet_only
        return in_unet and self.first.dtype(name).is_floating_point

    def tensor(self, name: str) -> Tensor:
        """The merged tensor. Where a model lacks it, the first model's takes its part."""
        if not self.summed(name):
            return self.first.tensor(name)
        parts = [model if name in model.names else self.first for model in self.models]
        total: Any = 0
        for part, ratio in zip(parts, self.ratios, strict=True):
            total = total + part.tensor(name).to(self.device, self.precision) * ratio
        return total.cpu()


def _check(options: MergeModelsOptions) -> tuple[Path, list[float]]:
    """(output, a ratio for each model). Errors: BadOption, BadFile."""
    models = options.models or []
    if len(models) < 2:
        raise BadOption("models", "--models needs two models or more, with spaces between.")
    if not options.output:
        raise BadOption("output", "--output is needed: the file to write, such as merged.safetensors.")
    output = asked.output_file("--output", options.output, models, (".safetensors",))
    ratios = asked.one_for_each("--ratios", options.ratios, len(models))
    return output, ratios or [1 / len(models)] * len(models)


def _new_name(name: str) -> str:
    prefix = TEXT_PREFIX["sd1"]
    return f"{prefix}{WRAPPER}{name[len(prefix) :]}" if name.startswith(_BARE) else name


def _metadata(models: list[_Model]) -> dict[str, str]:
    """What still holds of the first model's header, and what was merged."""
    kept = {key: text for key, text in models[0].metadata.items() if not key.startswith(_STALE)}
    return kept | {"modelspec.merged_from": ", ".join(model.path.stem for model in models)}


def _tell(merge: _Merge, options: MergeModelsOptions, output: Path, report: Report) -> None:
    for model, missing in zip(merge.models, merge.missing, strict=True):
        if missing:
            text = f"{model.path} lacks {counted(missing, 'tensor')} of the first model, whose own count instead."
            report.notice(text, "warning")
    if merge.skipped:
        advice = "" if options.show_skipped else " --show_skipped lists them."
        skipped = counted(len(merge.skipped), "tensor")
        report.notice(f"Left out: {skipped} that the first model lacks.{advice}", "warning")
    for name in merge.skipped if options.show_skipped else ():
        report.say(f"  {name}")
    total = sum(merge.ratios)
    if abs(total - 1) > 1e-3:
        report.notice(f"The ratios add up to {total:g}, not 1, so all weights are scaled.", "warning")
    report.summary(f"Wrote {output}.", models=len(merge.models), tensors=len(merge.first.names))
