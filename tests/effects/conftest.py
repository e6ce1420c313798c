"""The world in which the scripts run, and each run only once."""

import functools
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.effects.run import Observed, needed, observe
from tests.generate.conftest import write_embedding, write_hypernetwork
from tests.train.conftest import fresh_accelerator

__all__ = ["fresh_accelerator"]

Run = Callable[[str, dict[str, Any], bool], Observed]

PICTURES = {"a": (96, 64), "b": (64, 96), "c": (128, 128), "d": (128, 128)}
TEXTS = {
    "a": ("a red cat", "cat, sitting, red_fur, outdoors"),
    "b": ("a blue dog", "dog, running, blue sky, rating:safe"),
    "c": ("one (tree:1.5)", "tree, {tall|small}, green leaves"),
    "d": ("two anime women", "2girls, long hair, blue eyes, red eyes"),
}

RULES = """version = 1
[tags]
[captions]
replace = [{ from = ["cat"], to = "lion" }]
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures (one half transparent, one in a folder below), captions and tags, their metadata, and models."""
    return make_world(tmp_path_factory.mktemp("world") / "world")


def make_world(folder: Path) -> Path:
    """The same wherever it is wanted; beside it stand the runs that made parts of it."""
    from sd_scripts.library.example import sd_models, taggers

    _write_pictures(folder / "pictures")
    entries = {stem: {"caption": caption, "tags": tags} for stem, (caption, tags) in TEXTS.items() if stem != "d"}
    (folder / "meta.json").write_text(json.dumps(entries), encoding="utf-8")
    dirty = {stem: {"caption": caption, "tags": tags} for stem, (caption, tags) in TEXTS.items()}
    (folder / "dirty.json").write_text(json.dumps(dirty), encoding="utf-8")
    (folder / "one.json").write_text(json.dumps({"a": entries["a"]}), encoding="utf-8")
    _add_face(folder, entries["c"])
    _add_mask(folder)
    _add_named(folder)
    _add_photo(folder)
    _add_jpeg(folder)
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    (folder / "options.toml").write_text("[noise]\nnoise_offset = 0.3\n", encoding="utf-8")
    (folder / "prompts.txt").write_text("a red cat --w 64 --h 64 --s 2\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sd_models.make_sd1(folder / "sd1.safetensors")
        sd_models.make_sd1(folder / "other.safetensors", seed=1)
        sd_models.make_sd2(folder / "sd2.safetensors")
        sd_models.make_sdxl(folder / "sdxl.safetensors")
        taggers.make_blip(folder / "blip")
        taggers.make_git(folder / "git")
        taggers.make_wd14(folder / "taggers" / "tiny_wd14")
        taggers.make_wd14(folder / "taggers" / "tiny_mapping", "mapping")
        taggers.make_deepdanbooru(folder / "deepdanbooru")
    _teach_writing(folder / "git")
    _add_networks(folder)
    _add_larger(folder)
    add_made(folder, "state", "fine_tune.py", "out/X-state", max_train_steps=1, save_state_on_train_end=True)
    write_embedding(folder / "zork.safetensors", emb_params=torch.ones(2, 16))
    write_hypernetwork(folder / "style.pt")
    add_made(folder, "word", "train_textual_inversion.py", "out", max_train_steps=1, init_word="cat")
    add_made(folder, "network", "train_network.py", "out", max_train_steps=1, network_dim=2)
    add_made(folder, "hypernetwork", "train_hypernetwork.py", "out", max_train_steps=1, layer_norm=True)
    out_json = "{here}/pictures/meta.json"
    add_made(folder, "cached", "tools/cache_latents.py", "learnt")
    add_made(folder, "encoded", "tools/cache_text_encoder_outputs.py", "learnt")
    add_made(folder, "prepared", "finetune/prepare_buckets_latents.py", "pictures", out_json=out_json)
    return folder


def _add_networks(folder: Path) -> None:
    """LoRAs with random numbers, two for each of two models, and a model with one of them in it."""
    from tests.networks.made import make_network, run_tool

    (folder / "networks").mkdir()
    for number, (name, model) in enumerate({"a": "sd1", "b": "sd1", "xl": "sdxl", "xl2": "sdxl"}.items()):
        conv = 2 if name in ("a", "xl") else None
        make_network(
            folder / f"{model}.safetensors", folder / f"networks/{name}.safetensors", 4, conv, 2.0, seed=number
        )
    given = ("--sd_model", folder / "sd1.safetensors", "--models", folder / "networks/a.safetensors")
    run_tool("networks/merge_lora.py", *given, "--save_to", folder / "networks/tuned.safetensors")


def _add_face(folder: Path, entry: dict[str, str]) -> None:
    """A picture whose name says where its face is, and its metadata."""
    (folder / "faces").mkdir()
    shutil.copy2(folder / "pictures" / "c.png", folder / "faces" / "c_50_40_30_30.png")
    (folder / "faces.json").write_text(json.dumps({"c_50_40_30_30": entry}), encoding="utf-8")


def _add_mask(folder: Path) -> None:
    """The left half of picture a is not to be learnt."""
    (folder / "masks").mkdir()
    mask = Image.new("L", PICTURES["a"], 255)
    mask.paste(0, (0, 0, PICTURES["a"][0] // 2, PICTURES["a"][1]))
    mask.save(folder / "masks" / "a.png")


def _add_named(folder: Path) -> None:
    """Folders named repeats_words: one to learn, one of regularisation pictures, and one where a tool is to write."""
    for named, stem in (("learnt/2_red cat", "a"), ("kept/1_cat", "b"), ("there/img/1_old", "a")):
        (folder / named).mkdir(parents=True)
        shutil.copy2(folder / "pictures" / f"{stem}.png", folder / named / f"{stem}.png")


def _add_photo(folder: Path) -> None:
    """A JPEG far larger than what taggers see."""
    (folder / "photos").mkdir()
    Image.linear_gradient("L").resize((1400, 900)).save(folder / "photos" / "a.jpg")


def _add_jpeg(folder: Path) -> None:
    """A JPEG that is much larger than it is trained, and its metadata."""
    (folder / "large").mkdir()
    Image.effect_noise((640, 480), 80).convert("RGB").save(folder / "large" / "j.jpg")
    (folder / "large.json").write_text(json.dumps({"j": {"caption": "noise"}}), encoding="utf-8")


def _add_larger(folder: Path) -> None:
    """A model with a tensor more."""
    from sd_scripts.library.io.checkpoints import open_checkpoint, write_safetensors

    tensors = open_checkpoint(folder / "sd1.safetensors").read()
    more = {"a_part_more": tensors["model.diffusion_model.out.2.bias"].clone()}
    write_safetensors(folder / "larger.safetensors", tensors | more)


def _teach_writing(folder: Path) -> None:
    """The tiny GIT says "that says hand" of a picture."""
    path = folder / "tokenizer.json"
    words = path.read_text(encoding="utf-8").replace('"picture"', '"that"').replace('"cup"', '"says"')
    path.write_text(words, encoding="utf-8")


def add_made(folder: Path, name: str, script: str, made: str, **values: Any) -> None:
    """Puts what a script makes into the world: a state, a folder with latents."""
    elsewhere = folder.with_name(f"for_{name}")
    assert not observe(script, needed(script) | values, folder, elsewhere).error
    shutil.copytree(elsewhere / made, folder / name)


def _write_pictures(folder: Path) -> None:
    (folder / "below").mkdir(parents=True)
    random = np.random.default_rng(5)
    for stem, (width, height) in PICTURES.items():
        place = folder / "below" if stem == "d" else folder
        channels = 4 if stem == "c" else 3
        coarse = random.integers(0, 256, (8, 8, channels), dtype=np.uint8)
        if channels == 4:
            coarse[:4, :, 3], coarse[4:, :, 3] = 0, 255
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(place / f"{stem}.png")
        caption, tags = TEXTS[stem]
        (place / f"{stem}.caption").write_text(caption, encoding="utf-8")
        (place / f"{stem}.txt").write_text(tags, encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def one_tokenizer() -> Iterator[None]:
    """Made once: it is only read, and making it takes a quarter of a run."""
    from sd_scripts.library.models import sources

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "clip_tokenizer", functools.cache(sources.clip_tokenizer))
        yield


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a script with options besides the needed ones; what was run once is remembered.

    For one module: tests of others may come between, and what they set may change the last digit of a sum.
    """
    known: dict[str, Observed] = {}

    def run(script: str, values: dict[str, Any], watched: bool = False) -> Observed:
        name = json.dumps([script, values, watched], sort_keys=True)
        if name not in known:
            here = tmp_path_factory.mktemp("run") / "here"
            known[name] = observe(script, needed(script) | values, world, here, watched)
            shutil.rmtree(here)
        return known[name]

    return run
