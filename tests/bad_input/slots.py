"""Every place from which a program reads, and what an ordinary file there would be."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, option_specs
from tests.effects.run import needed


@dataclass(frozen=True)
class Slot:
    """A broken thing goes to `put`, in place of `good` (both relative to the world); `values` make the program read it.

    `per_item`: trouble there is that of one picture, so the program goes on, or ends with 1.
    """

    script: str
    put: str
    good: str
    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    per_item: bool = False

    @property
    def name(self) -> str:
        """Such as "fine_tune.py: vae.ckpt"."""
        return f"{self.script}: {self.put}"


def all_slots() -> list[Slot]:
    """Those of every option that names something to read, then those of the files within folders."""
    return [*_of_options(), *_within()]


def _of_options() -> Iterator[Slot]:
    for script, options in SCRIPTS.items():
        for spec in option_specs(options).values():
            if spec.path in _READ:
                yield from _of_option(script, spec)


def _of_option(script: str, spec: OptionSpec) -> Iterator[Slot]:
    needs = {**_NEEDS.get(spec.name, {}), **_NEEDS.get(f"{script} {spec.name}", {})}
    if spec.path == "pictures":
        yield from _pictures(script, spec, needs)
        return
    for ending, (good, kind) in _files(script, spec).items():
        put = f"broken{ending}"
        given: Any = f"{{here}}/{put}"
        if spec.many:
            others = needed(script).get(spec.name, [])[1:]
            given = [given, *others]
        yield Slot(script, put, good, kind, {**needs, spec.name: given})


def _pictures(script: str, spec: OptionSpec, needs: dict[str, Any]) -> Iterator[Slot]:
    folder = _FOLDERS.get(spec.name) or needed(script)[spec.name].removeprefix("{here}/")
    values = {**needs, spec.name: f"{{here}}/{folder}"}
    below = {"learnt": "learnt/2_red cat", "kept": "kept/1_cat"}.get(folder, folder)
    stem = "b" if folder == "kept" else "a"
    good = f"{below}/{stem}.png"
    for ending in (".png", ".jpg", ".webp"):
        # Beside good ones, and in place of one that is known.
        name = f"{below}/{stem}.png" if ending == ".png" else f"{below}/zz{ending}"
        yield Slot(script, name, good, "picture", values, per_item=True)
    ending = "caption" if script != "finetune/merge_dd_tags_to_metadata.py" else "txt"
    if "masks" not in folder:
        yield Slot(script, f"{below}/{stem}.{ending}", f"pictures/a.{ending}", "caption", values, per_item=True)


_READ = {"model", "vae", "json_in", "file", "picture", "pictures"}
_FOLDERS = {"reg_data_dir": "kept", "conditioning_data_dir": "masks", "reg_pictures": "pictures"}
_SAMPLE = {"sample_at_first": True, "sample_every_n_steps": 1}
_NEEDS: dict[str, dict[str, Any]] = {
    "dataset_config": {"train_data_dir": None, "in_json": None, "resolution": None},
    "conditioning_data_dir": {"masked_loss": True},
    "sample_prompts": _SAMPLE,
    "log_tracker_config": {"logging_dir": "{here}/logs"},
    "from_file": {"prompt": None},
    "image_path": {"strength": 0.5},
    "mask_path": {"image_path": "{here}/pictures/a.png", "strength": 0.5},
    "weights": {"num_vectors_per_token": 2},
    "reference_model": {"model_to_save": "{here}/out/folder"},
    "train_db.py reg_data_dir": {"train_data_dir": "{here}/learnt"},
    **{
        f"{script} reg_data_dir": {"train_data_dir": "{here}/learnt", "in_json": None}
        for script in (
            "sdxl_train.py", "train_network.py", "sdxl_train_network.py", "train_textual_inversion.py",
            "sdxl_train_textual_inversion.py", "train_hypernetwork.py", "tools/cache_latents.py",
            "tools/cache_text_encoder_outputs.py",
        )
    },
    **{f"{script} in_json": {"train_data_dir": "{here}/pictures"} for script in (
        "sdxl_train_network.py", "tools/cache_latents.py", "tools/cache_text_encoder_outputs.py",
    )},
}  # fmt: skip
Files = dict[str, tuple[str, str]]


def _files(script: str, spec: OptionSpec) -> Files:
    """{ending: (good file, kind)} of an option."""
    by_name = _BY_NAME.get(f"{script} {spec.name}") or _BY_NAME.get(spec.name)
    if by_name:
        return by_name
    if spec.path in ("model", "vae"):
        given = needed(script).get(spec.name)
        base = "sdxl" if "sdxl" in script else "sd1"
        named = (given[0] if isinstance(given, list) else given) or f"{base}.safetensors"
        file = named.removeprefix("{here}/")
        return _tensors(file) if file.endswith(".safetensors") else {}
    return _networks("xl" if "sdxl" in script else "a") if spec.name not in _ELSEWHERE else {}


def _tensors(file: str) -> Files:
    stem = Path(file).with_suffix("")
    return {".safetensors": (file, "safetensors"), ".ckpt": (f"{stem}.ckpt", "pickle")}


def _networks(name: str) -> Files:
    return {".safetensors": (f"networks/{name}.safetensors", "safetensors"), ".pt": (f"networks/{name}.pt", "pickle")}


_METADATA: Files = {".json": ("meta.json", "json"), ".jsonl": ("rows.jsonl", "json")}
_WORD: Files = {".safetensors": ("zork.safetensors", "safetensors"), ".pt": ("zork.pt", "pickle")}
_STYLE: Files = {".pt": ("style.pt", "pickle"), ".safetensors": ("style.safetensors", "safetensors")}
_LINES: Files = {
    ".txt": ("prompts.txt", "prompts"),
    ".json": ("prompts.json", "json"),
    ".toml": ("prompts.toml", "toml"),
}
_BY_NAME: dict[str, Files] = {
    "in_json": _METADATA,
    "dataset_config": {".toml": ("data.toml", "toml"), ".json": ("data.json", "json")},
    "sdxl_train_textual_inversion.py weights": {".safetensors": ("zork_xl.safetensors", "safetensors")},
    "tools/cache_latents.py config_file": {".toml": ("cache.toml", "toml")},
    "tools/cache_text_encoder_outputs.py config_file": {".toml": ("cache.toml", "toml")},
    "config_file": {".toml": ("options.toml", "toml")},
    "log_tracker_config": {".toml": ("tracker.toml", "toml")},
    "rules": {".toml": ("rules.toml", "toml")},
    "sample_prompts": _LINES,
    "from_file": _LINES,
    "set_from": {".json": ("meta.json", "json")},
    "metadata_thumbnail": {".png": ("pictures/a.png", "picture")},
    "image_path": {".png": ("pictures/a.png", "picture")},
    "mask_path": {".png": ("masks/a.png", "picture")},
    "weights": _WORD,
    "textual_inversion_embeddings": _WORD,
    "hypernetwork_weights": _STYLE,
    "model_path": {".keras": ("deepdanbooru/model-tiny_resnet.keras", "plain"), ".h5": ("tagger.h5", "plain")},
    "tags_path": {".txt": ("deepdanbooru/tags.txt", "caption")},
    "tools/show_metadata.py model": {".safetensors": ("networks/a.safetensors", "safetensors")},
    "tools/edit_metadata.py model": {".safetensors": ("networks/a.safetensors", "safetensors")},
}
_ELSEWHERE = {"reference_model"}


# Files within the folders of models, states and caches

_KIND_OF = {
    ".json": "json", ".csv": "csv", ".txt": "caption", ".safetensors": "safetensors", ".pt": "pickle", ".bin": "pickle",
    ".pkl": "pickle", ".npz": "npz", ".onnx": "plain", ".keras": "plain", ".ckpt": "pickle",
}  # fmt: skip
_FOLDERS_READ: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "blip": (("finetune/make_captions.py", {}),),
    "git": (("finetune/make_captions_by_git.py", {}),),
    "taggers/tiny_wd14": (("finetune/tag_images_by_wd14_tagger.py", {}),),
    "taggers/tiny_mapping": (("finetune/tag_images_by_wd14_tagger.py", {"repo_id": "tiny/mapping"}),),
    "deepdanbooru": (("finetune/tag_images_by_deepdanbooru.py", {}),),
    "folder": (
        ("fine_tune.py", {"pretrained_model_name_or_path": "{here}/folder"}),
        ("tools/convert_diffusers20_original_sd.py", {"model_to_load": "{here}/folder"}),
        ("gen_img.py", {"ckpt": "{here}/folder"}),
    ),
    "state": (("fine_tune.py", {"resume": "{here}/state"}),),
    "network_state": (("train_network.py", {"resume": "{here}/network_state", "network_dim": 2}),),
}
"""{folder: who reads all in it, and with which options}."""

_CACHED = {"train_data_dir": "{here}/cached", "cache_latents": True, "cache_latents_to_disk": True}
_ENCODED = {"train_data_dir": "{here}/encoded", "cache_text_encoder_outputs": True}
_CACHES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "cached": (
        ("train_network.py", _CACHED | {"in_json": None}),
        ("train_db.py", _CACHED),
        ("tools/cache_latents.py", {"train_data_dir": "{here}/cached"}),
    ),
    "encoded": (("tools/cache_text_encoder_outputs.py", {"train_data_dir": "{here}/encoded"}),),
    "prepared": (
        ("fine_tune.py", {"train_data_dir": "{here}/prepared", "in_json": "{here}/prepared/meta.json"}),
        ("finetune/prepare_buckets_latents.py", {"train_data_dir": "{here}/prepared", "skip_existing": True}),
    ),
}


def add_more(world: Path) -> None:
    """What the slots want besides: the same files in other forms, a model as a folder, and lists of prompts."""
    import json

    import torch
    from safetensors.torch import load_file, save_file

    from sd_scripts.library.example import sd_models, taggers
    from tests.effects.conftest import add_made

    for name in ("sd1.ckpt", "sdxl.ckpt", "networks/a.pt", "networks/xl.pt", "networks/tuned.ckpt"):
        torch.save({"state_dict": load_file((world / name).with_suffix(".safetensors"))}, world / name)
    vectors = load_file(world / "zork.safetensors")["emb_params"]
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "zork"}, world / "zork.pt")
    made = {"max_train_steps": 1, "network_dim": 2, "save_state_on_train_end": True}
    add_made(world, "network_state", "train_network.py", "out/X-state", **made)
    next((world / "hypernetwork").glob("X.safetensors")).rename(world / "style.safetensors")
    taggers.make_deepdanbooru(world / "older", ".h5")
    next((world / "older").glob("*.h5")).rename(world / "tagger.h5")
    sd_models.make_diffusers(world / "folder")
    entries = json.loads((world / "meta.json").read_bytes())
    lines = [json.dumps({"image_path": name, **entry}) for name, entry in entries.items()]
    (world / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (world / "prompts.json").write_text('[{"prompt": "a cat", "width": 64, "height": 64}]')
    (world / "prompts.toml").write_text('[prompt]\nwidth = 64\nheight = 64\n[[prompt.subset]]\nprompt = "a cat"\n')
    save_file({"clip_l": torch.ones(2, 16), "clip_g": torch.ones(2, 24)}, world / "zork_xl.safetensors")
    (world / "cache.toml").write_text("[model]\nv2 = false\n")
    (world / "tracker.toml").write_text("[tensorboard]\nmax_queue = 10\n")
    subset = {"image_dir": "pictures", "metadata_file": "meta.json"}
    (world / "data.json").write_text(json.dumps({"datasets": [{"resolution": 64, "subsets": [subset]}]}))
    (world / "data.toml").write_text(
        '[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "pictures"\nmetadata_file = "meta.json"\n'
    )


def _within() -> Iterator[Slot]:
    """Needs no world: the names of the files are those that the makers of the models give."""
    for folder, readers in (_FOLDERS_READ | _CACHES).items():
        for script, values in readers:
            yield Slot(script, f"{folder}/*", folder, "each", values, per_item=folder in _CACHES)


def slots_in(world: Path) -> list[Slot]:
    """All slots, with those of folders as one for each file that is there."""
    found: list[Slot] = []
    for slot in all_slots():
        if slot.kind != "each":
            found.append(slot)
            continue
        for file in sorted(path for path in (world / slot.good).rglob("*") if path.is_file()):
            kind = _KIND_OF.get(file.suffix, "plain")
            name = str(file.relative_to(world))
            if not slot.per_item or kind == "npz":
                found.append(Slot(slot.script, name, name, kind, slot.values, slot.per_item))
    return found
