"""Which options shape a training, what they are, and where two trainings differ in them. Needs no torch.

A state holds these. To resume is to leave them as they were; a branch changes some of them.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, cast

from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.io.reading import parse_json, parse_toml, read_text
from sd_scripts.library.team import launched
from sd_scripts.library.train.contents import DIGITS, content_of
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.options.spec import OptionSpec, flat_values, option_groups
from sd_scripts.options.trainer import FullTrainerOptions

Changes = dict[str, tuple[Any, Any]]
"""{option: (what it was, what it is)}."""

# Groups of options that say what is written, told and drawn, and where; never what is learnt.
_GROUPS = {
    "saving", "format", "state", "hub", "logging", "samples", "about", "console", "config", "header",
    # How it is computed, on what, by how many: the same but for rounding.
    "attention", "compilation", "parallel", "zero",
}  # fmt: skip
# Options of other groups that shape nothing: how long training takes (a schedule that depends on it says so), and how
# pictures and texts come to it, caches and memory.
_OPTIONS = {
    "max_train_steps", "max_train_epochs", "max_data_loader_n_workers", "persistent_data_loader_workers",
    "cache_latents", "cache_latents_to_disk", "skip_cache_check", "vae_batch_size", "cache_info", "debug_dataset",
    "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk", "lowram", "highvram", "gradient_checkpointing",
    "gradient_checkpointing_levels", "opt_channels_last",
    "verify_cache", "cpu_offload_checkpointing", "disable_mmap_load_safetensors", "ema_on_cpu", "on_nonfinite",
    "on_oom",
    # What they come to stands in optimizer_type.
    "use_8bit_adam", "use_lion_optimizer",
}  # fmt: skip
# Settings of a dataset are known by what stands in their file; a larger file, as models are, by parts of its content.
_LARGEST_HASHED_BYTES = 1 << 26
MODELS = {_BASE := "pretrained_model_name_or_path", "vae"}
_WITH_CONTENT = re.compile(rf"(.*) \(([0-9a-f]{{{DIGITS}}})\)", re.DOTALL)


def shaping(options: Any, seed: int | None = None) -> dict[str, Any]:
    """{name: value} of the options that shape a training; `seed`: the one that was drawn where none is given.

    Of a path, which may be another on another machine, the last name; of a file its content too, as of a base model
    some of whose weights stay. No secrets. Errors: BadOption.
    """
    values, shape = flat_values(options), {}
    replaced = {_BASE} if isinstance(options, FullTrainerOptions) and not options.method.frozen_texts else set()
    for group in option_groups(cast(type, type(options))):
        for spec in group.specs:
            if group.name not in _GROUPS and spec.name not in _OPTIONS and not spec.secret:
                shape[spec.name] = _known(spec, values[spec.name], by_name=spec.name in replaced)
    shape["optimizer_type"] = optimizer_name(options.optimizer)
    # Of all processes together: more of them with smaller batches are the same training.
    shape["train_batch_size"] *= launched().size
    return shape | ({} if seed is None else {"seed": seed})


def changes(before: dict[str, Any], now: dict[str, Any]) -> Changes:
    """Where options differ. One that only one of the two knows counts as it is without it; no seed is any seed."""
    names = [name for name in now if name in before and name != "seed"]
    found = {name: (before[name], now[name]) for name in names if not _same(before[name], now[name])}
    if now.get("seed") is not None and before.get("seed") != now["seed"]:
        found["seed"] = (before.get("seed"), now["seed"])
    return found


def listed(name: str, change: tuple[Any, Any]) -> str:
    """A change: `learning_rate 0.0001 -> 0.001`."""
    return f"{name} {_shown(change[0])} -> {_shown(change[1])}"


def fingerprint_of(images: Sequence[TrainImage]) -> str:
    """A number for what is shown: the pictures' names, texts and sizes, wherever they lie."""
    text = repr([(image.path.name, image.text, tuple(image.bucket_px)) for image in images])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _shown(value: Any) -> str:
    if value in (None, "", []):
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _same(before: Any, now: Any) -> bool:
    """Files are the same where their content is, whatever their names; an older state may know their names alone."""
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(_same, before, now))
    if not (isinstance(before, str) and isinstance(now, str)):
        return bool(before == now)
    old, new = _WITH_CONTENT.fullmatch(before), _WITH_CONTENT.fullmatch(now)
    if old and new:
        return old[2] == new[2]
    return (old[1] if old else before) == (new[1] if new else now)


def _known(spec: OptionSpec, value: Any, by_name: bool) -> Any:
    if not spec.path or not value:
        return value
    if isinstance(value, list):
        return [_known(spec, one, by_name) for one in value]
    name, content = PurePath(value.replace("\\", "/")).name, "" if by_name else _content(spec, value)
    return f"{name} ({content})" if content else name


def _content(spec: OptionSpec, value: str) -> str:
    """What names the content of a file or model, "" where it is not known or does not count."""
    path = Path(value).expanduser()
    if spec.path == "file" and path.is_file() and path.stat().st_size <= _LARGEST_HASHED_BYTES:
        content = _dataset(path) if spec.name == "dataset_config" else path.read_bytes()
        return hashlib.sha256(content).hexdigest()[:DIGITS]
    return content_of(value) if spec.path in ("model", "vae") or path.is_file() and spec.path == "file" else ""


def _dataset(path: Path) -> bytes:
    """What a dataset file says of what is learnt, without its caches and comments; a broken file as it is."""
    try:
        read = parse_json if path.suffix.lower() == ".json" else parse_toml
        return json.dumps(_that_shapes(read(read_text(path))), sort_keys=True, default=str).encode()
    except (OSError, ValueError):
        return path.read_bytes()


def _that_shapes(found: Any) -> Any:
    if isinstance(found, list):
        return [_that_shapes(one) for one in found]
    if isinstance(found, dict):
        return {name: _that_shapes(value) for name, value in found.items() if name not in _OPTIONS}
    return found
