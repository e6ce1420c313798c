"""What a LoRA or a checkpoint tells of its own training: the ss_* and modelspec.* keys of its header."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kohya_gui.importing.report import Report
from kohya_gui.importing.taker import Taker, Unfit, is_off, optimizer, table
from kohya_gui.importing.trainings import method_of, training_report
from kohya_gui.stages import STAGES, Method
from kohya_gui.words import refusal, say
from sd_scripts.library.io.headers import safetensors_header
from sd_scripts.library.io.reading import parse_json

Metadata = dict[str, str]

_DATASET_KEYS = (
    "batch_size_per_device", "resolution", "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_no_upscale",
)  # fmt: skip
_SUBSET_KEYS = (
    "shuffle_caption", "keep_tokens", "keep_tokens_separator", "caption_dropout_rate", "caption_dropout_every_n_epochs",
    "caption_tag_dropout_rate", "color_aug", "flip_aug", "random_crop", "face_crop_aug_range",
)  # fmt: skip


def read_model(path: Path) -> Report:
    """The report of a model file. Errors: BadFile; BadOption, for a file that tells nothing."""
    if path.suffix.lower() != ".safetensors":
        raise refusal("path", "import.no_metadata", name=path.name)
    return read_metadata(safetensors_header(path)[1], path.stem)


def read_metadata(metadata: Metadata, name: str) -> Report:
    """The report of a header. Errors: BadOption, for one that tells nothing of a training."""
    if not any(key.startswith(("ss_", "modelspec.")) for key in metadata):
        raise refusal("path", "import.no_metadata", name=name)
    name = str(metadata.get("ss_output_name") or name)
    report = training_report("metadata", name, _method_of(metadata), "sdxl" if _is_sdxl(metadata) else "sd")
    taker = Taker(report)
    for key, given in {**_of_datasets(metadata), **metadata}.items():
        _take(taker, key, str(given), metadata)
    return report


def _method_of(metadata: Metadata) -> Method:
    if metadata.get("modelspec.architecture", "").endswith("/textual-inversion"):
        return "inversion"
    return method_of(key.removeprefix("ss_") for key in metadata)


def _is_sdxl(metadata: Metadata) -> bool:
    told = (metadata.get("ss_base_model_version", ""), metadata.get("modelspec.architecture", ""))
    return told[0].startswith("sdxl") or told[1].startswith("stable-diffusion-xl")


def _take(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    tables = table("metadata")
    name = key.removeprefix("ss_")
    if name in _RULES:
        _RULES[name](taker, key, given, metadata)
    elif name in tables["facts"].split() or key.startswith("sshs_"):
        taker.unused(key, given, say("import.fact"))
    else:
        taker.take(tables["renamed"].get(name, name), given, key)


def _of_datasets(metadata: Metadata) -> Metadata:
    """Of newer files: what the first of their datasets, and its first folder, say."""
    try:
        first = parse_json(metadata.get("ss_datasets", "[]"))[0]
        subset = (first.get("subsets") or [{}])[0]
        found = {key: first[key] for key in _DATASET_KEYS if key in first}
        found |= {key: subset[key] for key in _SUBSET_KEYS if key in subset}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {f"ss_{key}": _plain(value) for key, value in found.items() if f"ss_{key}" not in metadata}


def _plain(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list) else str(value)


def _resolution(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    """(512, 512), or 512x512."""
    numbers = re.findall(r"\d+", given)
    if key == "modelspec.resolution" and ("ss_resolution" in metadata or "ss_datasets" in metadata):
        taker.unused(key, given, say("import.fact"))
    elif numbers:
        taker.take("resolution", ",".join(numbers), key, say("import.written"), given)
    else:
        taker.take("resolution", given, key)


def _optimizer(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    """The full name of the class, and in parentheses its arguments."""
    name, _, arguments = given.partition("(")
    try:
        short = optimizer(name.rpartition(".")[2])[0]
    except Unfit:
        short = name
    taker.take("optimizer_type", short, key, "" if short == name else say("import.written"), given)
    if arguments:
        words = [word.replace(" ", "") for word in re.split(r",\s*(?=\w+=)", arguments.removesuffix(")")) if word]
        taker.take("optimizer_args", words, f"{key} (…)")


def _epochs(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    """Where the number of steps is known, it says the same more exactly."""
    if is_off(metadata.get("ss_max_train_steps")):
        taker.take("max_train_epochs", given, key)
    else:
        taker.unused(key, given, say("import.wins", other="ss_max_train_steps"))


def _prediction(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    if given.startswith("v"):
        taker.take("v_parameterization", True, key, say("import.named_switch", flag="v_parameterization"), given)
    else:
        taker.unused(key, given, say("import.off"))


def _architecture(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    if given.startswith("stable-diffusion-v2"):
        taker.take("v2", True, key, say("import.named_switch", flag="v2"), given)
    elif given.startswith("stable-diffusion-v1") or STAGES[taker.report.stage].family == "sdxl":
        taker.unused(key, given, say("import.fact"))
    else:
        taker.leave(key, given, say("import.group.family"))


def _name_only(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    if given == "None":
        taker.unused(key, given, say("import.empty"))
    else:
        taker.leave(key, given, say("import.name_only"))


def _text_rate(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    """LoRA has its own rate for the text encoder; in a whole model it is this one."""
    taker.take("text_encoder_lr" if "ss_network_module" in metadata else "learning_rate_te", given, key)


def _schedule(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    """A schedule by name, or by the class that was used in its place."""
    is_class = given[:1].isupper() or "." in given
    taker.take("lr_scheduler_type" if is_class else "lr_scheduler", given, key)


def _base_model(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    if given.startswith("sd_v") or STAGES[taker.report.stage].family == "sdxl":
        taker.unused(key, given, say("import.fact"))
    else:
        taker.leave(key, given, say("import.group.family"))


def _network_arguments(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    """A JSON object of names and values."""
    try:
        found = dict(parse_json(given) or {})
    except (ValueError, TypeError):
        found = {}
    words = [f"{name}={value}" for name, value in found.items()]
    if words:
        taker.take("network_args", words, key, say("import.written"), given)
    else:
        taker.unused(key, given, say("import.empty"))


def _datasets(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    taker.unused(key, "[…]", say("import.first_dataset"))


def _face_crop(taker: Taker, key: str, given: str, metadata: Metadata) -> None:
    """(1.0, 2.0) is written 1.0,2.0 on the command line."""
    try:
        low, high = ast.literal_eval(given)
    except (ValueError, SyntaxError, TypeError):
        taker.take("face_crop_aug_range", given, key)
    else:
        taker.take("face_crop_aug_range", f"{low},{high}", key, say("import.written"), given)


_RULES: dict[str, Callable[[Taker, str, str, Metadata], None]] = {
    "resolution": _resolution,
    "modelspec.resolution": _resolution,
    "optimizer": _optimizer,
    "num_epochs": _epochs,
    "modelspec.prediction_type": _prediction,
    "modelspec.architecture": _architecture,
    "sd_model_name": _name_only,
    "vae_name": _name_only,
    "network_args": _network_arguments,
    "text_encoder_lr": _text_rate,
    "lr_scheduler": _schedule,
    "base_model_version": _base_model,
    "datasets": _datasets,
    "face_crop_aug_range": _face_crop,
}
