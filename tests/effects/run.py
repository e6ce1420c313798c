"""Runs a script's work in a small world of its own, and tells what came of it."""

import contextlib
import hashlib
import importlib
import io
import json
import os
import random
import re
import shutil
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sd_scripts.library.data.known_files import INDEX
from sd_scripts.library.errors import UserError
from sd_scripts.library.program import parse_and_work
from sd_scripts.library.report import Report
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import option_specs
from sd_scripts.options.values import to_argv
from tests.effects.watch import watching

# What differs from run to run by itself: clocks, sizes of processes, identifiers drawn anew.
_TIMES = re.compile(r"\d{14}|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?|[\d.,]+/s|\d+ (s|min|h) left")
_VOLATILE_TAGS = re.compile(r"_s$|/s$|memory|time|bytes", re.IGNORECASE)
_VOLATILE_KEYS = re.compile(r"started_at|finished_at|session_id|modelspec\.date|hash_sha256|legacy_hash")


@dataclass
class Observed:
    """What a run came to. The same run gives the same."""

    said: str = ""
    error: str = ""
    losses: list[float] = field(default_factory=list)
    rates: list[dict[str, float]] = field(default_factory=list)
    weights: str = ""
    header: dict[str, str] = field(default_factory=dict)
    logged: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    samples: dict[str, str] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)
    """How often the processor did what, with which types and shapes."""
    threads: dict[str, int] = field(default_factory=dict)


def observe(script: str, values: dict[str, Any], world: Path, here: Path, watched: bool = False) -> Observed:
    """Runs a script with options in a copy of the world, made at `here`. `watched`: `computed` too, slower."""
    shutil.copytree(world, here, copy_function=_copy)
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    argv = to_argv(SCRIPTS[script], {name: _placed(value, here) for name, value in values.items()})
    found, out = Observed(), io.StringIO()
    events: list[Any] = []
    report = Report(out=out)
    report.emit = events.append  # type: ignore[method-assign]
    _fresh()
    with contextlib.chdir(here), contextlib.redirect_stdout(out), watching(watched) as seen, warnings.catch_warnings():
        # numpy asks tensors for a copy in an older way, in diffusers' samplers too.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        try:
            parse_and_work(SCRIPTS[script], _work(script), report, argv, Path(script).name)
        except UserError as error:
            found.error = str(error)
        finally:
            report.close()
    found.said = _steady(out.getvalue(), here)
    found.error = _steady(found.error, here)
    found.computed, found.threads = dict(seen.computed), dict(seen.threads)
    for event in (event for event in events if event.event == "metric"):
        found.losses.append(event.values["loss"])
        found.rates.append({name: rate for name, rate in event.values.items() if name.startswith("lr")})
    changed = [path for path in sorted(here.rglob("*")) if before.get(path) != path.stat().st_mtime_ns]
    # An index holds times of files.
    for path in (path for path in changed if path.is_file() and path.name != INDEX):
        _note(found, path, _steady(str(path.relative_to(here)), here))
    return found


def _work(script: str) -> Any:
    return importlib.import_module("sd_scripts." + script.removesuffix(".py").replace("/", ".")).work


def _copy(source: str, target: str) -> None:
    # Models are only read: a second name does.
    os.link(source, target) if source.endswith((".safetensors", ".onnx", ".keras")) else shutil.copy2(source, target)


def _placed(value: Any, here: Path) -> Any:
    if isinstance(value, list):
        return [_placed(one, here) for one in value]
    return value.replace("{here}", str(here)) if isinstance(value, str) else value


def _steady(text: str, here: Path) -> str:
    """Without clocks, progress lines and the place of the run."""
    text = _TIMES.sub("#", text.replace(str(here), "{here}"))
    return "\n".join(line for line in text.splitlines() if not re.match(r"\s+[\d,]+( of|$|,)", line))


def _note(found: Observed, path: Path, name: str) -> None:
    if path.name.startswith("events.out.tfevents"):
        found.logged |= _logged(path)
        found.files[name.rpartition("/")[0]] = "log"
    elif path.suffix == ".safetensors":
        weights, header = _checkpoint(path)
        found.files[name] = weights
        if name.startswith("out/X."):
            found.weights, found.header = weights, header
    elif "sample" in path.parts:
        found.samples[name] = _digest(path.read_bytes())
    elif path.suffix == ".png":
        pixels, texts = _picture(path)
        found.files[name] = pixels
        found.header |= texts
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as arrays:
            found.files[name] = _digest(b"".join(arrays.read(key) for key in sorted(arrays.namelist())))
    elif path.suffix in (".pt", ".bin", ".ckpt", ".pkl", ".onnx") or "-state" in name:
        found.files[name] = "there"
    else:
        found.files[name] = _digest(path.read_bytes())


def _picture(path: Path) -> tuple[str, dict[str, str]]:
    """The digest of the pixels, and the texts in the file."""
    from PIL import Image

    with Image.open(path) as image:
        return _digest(image.tobytes()), dict(image.info)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _checkpoint(path: Path) -> tuple[str, dict[str, str]]:
    """The digest of the tensors with their types, and the steady part of the header."""
    with path.open("rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        rest = file.read()
    header = head.pop("__metadata__", {})
    weights = _digest(json.dumps(head, sort_keys=True).encode() + rest)
    return weights, {key: text for key, text in header.items() if not _VOLATILE_KEYS.search(key)}


def _logged(path: Path) -> dict[str, Any]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(path))
    log.Reload()
    values = {tag: [(e.step, e.value) for e in log.Scalars(tag)] for tag in log.Tags()["scalars"]}
    steady: dict[str, Any] = {tag: points for tag, points in values.items() if not _VOLATILE_TAGS.search(tag)}
    return steady | dict.fromkeys(log.Tags()["images"], "picture") | dict.fromkeys(log.Tags()["tensors"], "text")


def _fresh() -> None:
    """As a new process would begin."""
    import numpy as np
    import torch
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


def needed(script: str) -> dict[str, Any]:
    """The options that every run of a script has."""
    here = {name: f"{{here}}/{path}" for name, path in _PATHS[script].items()}
    assert set(here) <= set(option_specs(SCRIPTS[script]))
    return here | _PLAIN.get(script, {})


_TRAIN = {
    "pretrained_model_name_or_path": "sd1.safetensors",
    "train_data_dir": "pictures",
    "in_json": "meta.json",
    "output_dir": "out",
}
_SHORT = {
    "output_name": "X",
    "resolution": "64",
    "max_train_steps": 2,
    "train_batch_size": 2,
    "learning_rate": 1e-3,
    "seed": 1,
    "max_data_loader_n_workers": 0,
}
_WORD = {"token_string": "my-cat", "caption_prefix": "my-cat,", "save_model_as": "safetensors"}
_MERGE = {"train_data_dir": "pictures", "out_json": "new.json"}
_NAMED = {
    "pretrained_model_name_or_path": "sd1.safetensors",
    "train_data_dir": "learnt",
    "output_dir": "out",
}
_OUT = "out/X.safetensors"
_MERGED = {"save_to": _OUT}
_PATHS: dict[str, dict[str, str]] = {
    "networks/merge_lora.py": _MERGED,
    "networks/merge_lora_old.py": _MERGED,
    "networks/sdxl_merge_lora.py": _MERGED,
    "networks/svd_merge_lora.py": _MERGED,
    "networks/resize_lora.py": {"model": "networks/a.safetensors", "save_to": _OUT},
    "networks/check_lora_weights.py": {"file": "networks/b.safetensors"},
    "networks/extract_lora_from_models.py": {
        "model_org": "sd1.safetensors",
        "model_tuned": "networks/tuned.safetensors",
        "save_to": _OUT,
    },
    "networks/extract_lora_from_dylora.py": {"model": "networks/b.safetensors", "save_to": _OUT},
    "networks/lora_interrogator.py": {"sd_model": "sd1.safetensors", "model": "networks/b.safetensors"},
    "tools/lycoris_locon_extract.py": {
        "base_model": "sd1.safetensors",
        "db_model": "networks/tuned.safetensors",
        "output_name": _OUT,
    },
    "tools/merge_lycoris.py": {
        "base_model": "sd1.safetensors",
        "lycoris_model": "networks/a.safetensors",
        "output_name": _OUT,
    },
    "fine_tune.py": _TRAIN,
    "train_db.py": _NAMED,
    "sdxl_train_network.py": _NAMED | {"pretrained_model_name_or_path": "sdxl.safetensors"},
    "sdxl_train.py": _TRAIN | {"pretrained_model_name_or_path": "sdxl.safetensors"},
    "train_network.py": _TRAIN,
    "train_textual_inversion.py": _TRAIN,
    "sdxl_train_textual_inversion.py": _TRAIN | {"pretrained_model_name_or_path": "sdxl.safetensors"},
    "train_hypernetwork.py": _TRAIN,
    "gen_img.py": {"ckpt": "sd1.safetensors", "outdir": "out"},
    "finetune/make_captions.py": {"train_data_dir": "pictures", "caption_weights": "blip"},
    "finetune/make_captions_by_git.py": {"train_data_dir": "pictures", "model_id": "git"},
    "finetune/tag_images_by_wd14_tagger.py": {"train_data_dir": "pictures", "model_dir": "taggers"},
    "finetune/tag_images_by_deepdanbooru.py": {"train_data_dir": "pictures", "project_path": "deepdanbooru"},
    "finetune/merge_captions_to_metadata.py": _MERGE,
    "finetune/merge_dd_tags_to_metadata.py": _MERGE,
    "finetune/clean_captions_and_tags.py": {"in_json": "dirty.json", "out_json": "new.json"},
    "finetune/prepare_buckets_latents.py": {
        "train_data_dir": "pictures",
        "in_json": "meta.json",
        "out_json": "new.json",
        "model_name_or_path": "sd1.safetensors",
    },
}
_BOTH = {"models": ["{here}/networks/a.safetensors", "{here}/networks/b.safetensors"]}
_CACHE = {"pretrained_model_name_or_path": "sd1.safetensors", "train_data_dir": "learnt"}
_MERGED = {"models": ["{here}/sd1.safetensors", "{here}/other.safetensors"]}
_PATHS |= {
    "tools/convert_diffusers20_original_sd.py": {
        "model_to_load": "sd1.safetensors",
        "model_to_save": "out/X.safetensors",
    },
    "tools/merge_models.py": {"output": "out/X.safetensors"},
    "tools/show_metadata.py": {"model": "network/X.safetensors"},
    "tools/edit_metadata.py": {"model": "network/X.safetensors", "output": "out/X.safetensors"},
    "tools/cache_latents.py": _CACHE,
    "tools/cache_text_encoder_outputs.py": _CACHE,
    "tools/resize_images_to_resolution.py": {"src_img_folder": "pictures", "dst_img_folder": "out"},
    "tools/group_images.py": {"input_folder": "pictures", "output_folder": "out"},
    "tools/dataset_balancing.py": {"folder": "learnt"},
    "tools/make_dreambooth_folders.py": {"output_folder": "out", "train_pictures": "pictures"},
    "tools/edit_captions.py": {"folder": "pictures", "output_folder": "out"},
}
_BUCKETS = {"max_resolution": "64,64", "min_bucket_reso": 64, "max_bucket_reso": 128}
_PLAIN: dict[str, dict[str, Any]] = {
    "networks/merge_lora.py": _BOTH,
    "networks/merge_lora_old.py": _BOTH,
    "networks/sdxl_merge_lora.py": {"models": ["{here}/networks/xl.safetensors", "{here}/networks/xl2.safetensors"]},
    "networks/svd_merge_lora.py": _BOTH,
    "networks/extract_lora_from_models.py": {"conv_dim": 1},
    "networks/extract_lora_from_dylora.py": {"unit": 2},
    "networks/lora_interrogator.py": {"batch_size": 4096},
    "fine_tune.py": _SHORT,
    "sdxl_train.py": _SHORT,
    "train_textual_inversion.py": _SHORT | _WORD,
    "sdxl_train_textual_inversion.py": _SHORT | _WORD,
    "train_db.py": {**_SHORT, "save_model_as": "safetensors"},
    "train_network.py": {**_SHORT, "network_module": "networks.lora"},
    "sdxl_train_network.py": {**_SHORT, "network_module": "networks.lora"},
    "train_hypernetwork.py": {**_SHORT, "save_model_as": "safetensors"},
    "gen_img.py": {"prompt": "a red cat", "W": 64, "H": 64, "steps": 2, "seed": 7},
    "finetune/tag_images_by_wd14_tagger.py": {"repo_id": "tiny/wd14", "thresh": 0.2},
    "finetune/prepare_buckets_latents.py": _BUCKETS,
    "tools/merge_models.py": _MERGED,
    "tools/edit_metadata.py": {"set": ["a=1"]},
    "tools/cache_latents.py": {"resolution": "64", "max_data_loader_n_workers": 0},
    "tools/cache_text_encoder_outputs.py": {"max_data_loader_n_workers": 0},
    "tools/resize_images_to_resolution.py": {"max_resolution": "40x40"},
    "tools/group_images.py": _BUCKETS,
    "tools/make_dreambooth_folders.py": {"instance_prompt": "sks", "class_prompt": "dog"},
    "tools/edit_captions.py": {"trigger_word": "sks"},
}
