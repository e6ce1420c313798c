"""From one form of a model to another: .safetensors, .ckpt, and diffusers' folders."""

import ast
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.asked import check_unread
from sd_scripts.library.io.atomic import check_writable, replacing_folder, write_json
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.family import FileFormat, SaveRequest
from sd_scripts.library.models.folders import read_json
from sd_scripts.library.models.latent_diffusion import LatentDiffusion
from sd_scripts.library.models.numbers import dtype_of
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.sources import Source, open_source
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report
from sd_scripts.options.model_tools import ConvertOptions, ConvertReadingOptions

_PRECISIONS = ("float", "fp16", "bf16")
_BUILDERS: dict[str, Any] = {"sd1": sd.from_source, "sd2": sd.from_source, "sdxl": sdxl.from_source}
_NAMES = {"sd1": "a Stable Diffusion 1 model", "sd2": "a Stable Diffusion 2 model", "sdxl": "an SDXL model"}
_FILES: dict[str, FileFormat] = {".safetensors": "safetensors", ".ckpt": "ckpt"}
_NO_MODEL = (".pt", ".pth", ".bin")
# Hashes of the file that was read.
_STALE = ("format", "modelspec.hash_sha256", "sshs_model_hash", "sshs_legacy_hash")


def convert(options: ConvertOptions, report: Report) -> None:
    """The whole conversion. Errors: BadOption and BadFile."""
    target = Path(options.files.model_to_save).expanduser()
    form = _checked_form(options, target)
    check_writable(target)
    dtype, metadata = _dtype(options), _read_metadata(options.header.metadata)
    source = _open(options, target, report)
    model = _load(source, options.reading, report)
    if dtype:
        model.vae_dtype = dtype
    facts = {"epoch": options.header.epoch, "global_step": options.header.global_step}
    kept = {key: text for key, text in source.metadata.items() if key not in _STALE}
    trained = {"ss_epoch": facts["epoch"], "ss_steps": facts["global_step"]}
    told = kept | {key: str(number) for key, number in trained.items() if number} | metadata
    report.stop_if_asked()
    report.phase("save", f"Writing {target}")
    if form in _FILES.values():
        save = partial(model.save, SaveRequest(target.with_suffix(""), form, dtype, told, facts))
    else:
        reference = _reference(source, options.reading)
        save = partial(_save_folder, model, SaveRequest(target, form, dtype), reference)
    written = patiently(report, target, save)
    report.saved(written, "model")
    report.summary(f"Wrote {written}.", models=1)


def _checked_form(options: ConvertOptions, target: Path) -> FileFormat:
    """The form to write, from the target's name. Errors: BadOption, where options do not fit it."""
    ending = target.suffix.lower()
    if ending in _NO_MODEL:
        raise BadOption("model_to_save", f"model_to_save {target}: a model's file ends in .safetensors or .ckpt.")
    form = _FILES.get(ending)
    safe, header, reference = options.files.use_safetensors, options.header, options.reading.reference_model
    if form is None:
        _refuse(header.metadata, "metadata", "a diffusers folder has no header for it")
        _refuse(header.epoch, "epoch", "a diffusers folder has no place for it")
        _refuse(header.global_step, "global_step", "a diffusers folder has no place for it")
        _check_free(target)
        return "diffusers_safetensors" if safe else "diffusers"
    _refuse(reference, "reference_model", f"{target.name} is a single file, which has no scheduler and no tokenizer")
    if form == "ckpt":
        _refuse(header.metadata, "metadata", "a .ckpt has no header for it")
        _refuse(safe, "use_safetensors", "it is for diffusers folders; a file's form follows from its name")
    return form


def _refuse(given: Any, option: str, why: str) -> None:
    if given:
        raise BadOption(option, f"--{option}: {why}. Leave it out.")


def _check_free(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        what = "there is a file of that name" if folder.is_file() else "the folder is not empty"
        raise BadOption("model_to_save", f"model_to_save {folder}: {what}. Name a new folder.")


def _dtype(options: ConvertOptions) -> torch.dtype | None:
    """The number format that is asked for. Errors: BadOption, where two are."""
    precision = options.precision
    asked = {name for name in _PRECISIONS if getattr(precision, name)} | {precision.save_precision_as} - {None}
    if len(asked) > 1:
        names = " and ".join(sorted(filter(None, asked)))
        raise BadOption("save_precision_as", f"{names} are asked for, and a model is written in one of them. Choose.")
    return dtype_of(asked.pop()) if asked else None


def _read_metadata(text: str | None) -> dict[str, str]:
    """Keys and texts of JSON, or of what Python prints of a dictionary. Errors: BadOption."""
    if not text:
        return {}
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, dict):
            return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}
    raise BadOption("metadata", f'--metadata {text}: write it as {{"name": "value"}}.')


def _open(options: ConvertOptions, target: Path, report: Report) -> Source:
    """Finds the model. Errors: BadOption, BadFile."""
    name, reading = options.files.model_to_load, options.reading
    if reading.v1 and reading.v2:
        raise BadOption("v2", "--v1 and --v2 exclude each other. Leave out both: what a model is, is found out.")
    report.phase("load_model", f"Loading {name}")
    path = model_path(name, variant=reading.variant)
    check_unread("model_to_save", target, [path])
    if path.is_file():
        _refuse(reading.variant, "variant", f"{path.name} is a single file, which has no variants")
    return open_source(path, kinds=tuple(_BUILDERS), variant=reading.variant)


def _load(source: Source, reading: ConvertReadingOptions, report: Report) -> LatentDiffusion:
    kind = source.variant.name
    for option in ("v1", "v2"):
        if getattr(reading, option) and kind != f"sd{option[-1]}":
            raise BadOption(option, f"{source.path} is {_NAMES[kind]}: leave out --{option}.")
    if kind != "sd2":
        why = "is for Stable Diffusion 2 alone, and the model is another"
        _refuse(reading.unet_use_linear_projection, "unet_use_linear_projection", why)
    velocity = reading.v_parameterization or source.prediction_type == "v_prediction"
    model: LatentDiffusion = _BUILDERS[kind](source, velocity, source.vae(), report)
    return model


def _reference(source: Source, reading: ConvertReadingOptions) -> Path | None:
    """The folder whose scheduler and tokenizers are taken: a folder's own, where no other is named."""
    if reading.reference_model is None:
        return source.path if source.path.is_dir() else None
    reference = Path(reading.reference_model).expanduser()
    if not (reference / "scheduler" / "scheduler_config.json").is_file():
        sentence = f"--reference_model {reference} is no diffusers folder with a scheduler. Name one, or leave it out."
        raise BadOption("reference_model", sentence)
    return reference


def _save_folder(model: LatentDiffusion, request: SaveRequest, reference: Path | None) -> Path:
    """Writes a folder, with the scheduler and the tokenizers of another. Errors: BadFile."""
    target = request.path
    with replacing_folder(target) as beside:
        model.save(SaveRequest(beside, request.format, request.dtype))
        if reference:
            _take_from(reference, beside)
    return target


def _take_from(reference: Path, folder: Path) -> None:
    for part in ("scheduler", "tokenizer", "tokenizer_2"):
        if (reference / part).is_dir() and (folder / part).is_dir():
            shutil.rmtree(folder / part)
            shutil.copytree(reference / part, folder / part, copy_function=shutil.copyfile)
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    index = read_json(folder / "model_index.json")
    name = config.get("_class_name")
    if not isinstance(name, str):
        raise BadFile(f"{reference / 'scheduler'} does not name its class. Leave out --reference_model.")
    write_json(folder / "model_index.json", index | {"scheduler": ["diffusers", name]})
