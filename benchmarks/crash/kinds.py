"""The kinds of work that are killed, and the template that the scripts' worlds are copied from."""

import json
from pathlib import Path

from benchmarks.crash.kind import Kind
from benchmarks.crash.pages import Presets, Queueing, Working
from benchmarks.crash.programs import Program, Training

PICTURES = 8
OTHER_ENTRIES = 3000
_TRAIN = {
    "pretrained_model_name_or_path": "{here}/sd1.safetensors",
    "train_data_dir": "{here}/pictures",
    "in_json": "{here}/meta.json",
    "resolution": "64",
    "output_dir": "{here}/out",
    "output_name": "X",
    "max_train_steps": 4,
    "train_batch_size": 2,
    "learning_rate": 1e-3,
    "seed": 1,
    "max_data_loader_n_workers": 0,
    "save_every_n_steps": 1,
    "save_last_n_steps": 2,
    "save_state": True,
}
_HERE = {"train_data_dir": "{here}/pictures"}


def all_kinds(template: Path) -> list[Kind]:
    """Every kind, the cheap ones among the others."""
    scripts = {
        "training": ("fine_tune.py", _TRAIN),
        "merging": (
            "finetune/merge_captions_to_metadata.py",
            _HERE | {"out_json": "{here}/all.json", "in_json": "{here}/all.json"},
        ),
        "caching": (
            "finetune/prepare_buckets_latents.py",
            _HERE
            | {
                "in_json": "{here}/meta.json",
                "out_json": "{here}/latents.json",
                "model_name_or_path": "{here}/sd1.safetensors",
                "max_resolution": "64,64",
                "min_bucket_reso": 64,
                "max_bucket_reso": 128,
                "skip_existing": True,
            },
        ),
        "editing texts": (
            "tools/edit_captions.py",
            {"folder": "{here}/pictures", "prefix": "seen: ", "in_place": True, "caption_extension": ".caption"},
        ),
        "tagging": (
            "finetune/tag_images_by_wd14_tagger.py",
            _HERE | {"model_dir": "{here}/taggers", "repo_id": "tiny/wd14", "append_tags": True, "thresh": 0.1},
        ),
        "training folders": ("fine_tune.py", _TRAIN | {"save_model_as": "diffusers_safetensors"}),
        "captions": ("finetune/make_captions.py", _HERE | {"caption_weights": "{here}/blip", "max_length": 12}),
        "tagging JSON": (
            "finetune/tag_images_by_wd14_tagger.py",
            _HERE
            | {
                "model_dir": "{here}/taggers",
                "repo_id": "tiny/wd14",
                "thresh": 0.1,
                "output_path": "{here}/tags.json",
            },
        ),
    }
    programs: list[Kind] = [
        (Training if script == "fine_tune.py" else Program)(name, script, values, template)
        for name, (script, values) in scripts.items()
    ]
    return [*programs[:2], Presets(), *programs[2:4], Queueing(), *programs[4:6], Working(), *programs[6:]]


def make_template(folder: Path) -> None:
    """Pictures with captions and tags, their metadata, and tiny models."""
    import warnings

    import numpy as np
    from PIL import Image

    from sd_scripts.library.example import sd_models, taggers

    (folder / "pictures").mkdir(parents=True)
    random = np.random.default_rng(1)
    entries = {}
    for number in range(PICTURES):
        place = folder / "pictures" / f"p{number}.png"
        Image.fromarray(random.integers(0, 256, (64, 64 + 32 * (number % 2), 3), dtype=np.uint8)).save(place)
        place.with_suffix(".caption").write_text(f"picture {number}, as somebody wrote it\n", encoding="utf-8")
        if number % 2:
            place.with_suffix(".txt").write_text(f"my own tag {number}\n", encoding="utf-8")
        entries[place.stem] = {"caption": f"a picture {number}"}
    (folder / "meta.json").write_text(json.dumps(entries), encoding="utf-8")
    others = {f"other{number}": {"caption": f"another {number}"} for number in range(OTHER_ENTRIES)}
    (folder / "all.json").write_text(json.dumps(entries | others), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sd_models.make_sd1(folder / "sd1.safetensors")
        taggers.make_blip(folder / "blip")
        taggers.make_wd14(folder / "taggers" / "tiny_wd14")


def load_packages() -> None:
    """Loads what the scripts load, once for all forks; nothing is computed."""
    import accelerate
    import diffusers
    import onnxruntime
    import transformers

    import kohya_gui.api
    import sd_scripts.library.data.prepare_latents
    import sd_scripts.library.tagging.wd14
    import sd_scripts.library.train.assembly
    import sd_scripts.library.train.trainer

    del accelerate, diffusers, onnxruntime, transformers, kohya_gui, sd_scripts
