"""Tiny models, and what was trained beside them."""

import functools
import gc
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sd_scripts.library.example.sd_models import make_sd1, make_sd2, make_sdxl
from sd_scripts.library.models import sources
from sd_scripts.options.cli import parse
from sd_scripts.options.gen_img import GenImgOptions
from tests.train.conftest import fresh_accelerator
from tests.train.tiny import Recorder, tiny_family

__all__ = ["fresh_accelerator"]


@pytest.fixture(scope="session", autouse=True)
def one_tokenizer():
    """Made once: it is only read, and making it takes most of a short run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "clip_tokenizer", functools.cache(sources.clip_tokenizer))
        yield


@pytest.fixture(scope="module", autouse=True)
def cheap_collections():
    """Between models all garbage is collected: seconds, where everything that other tests have loaded is looked at."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_sd1(folder / "base.safetensors")
        make_sd1(folder / "other.safetensors", seed=1)
        make_sd2(folder / "two.safetensors")
        make_sdxl(folder / "large.safetensors")
    for name, seed in (("cat-000001", 1), ("cat", 2)):
        write_lora(folder / f"{name}.safetensors", seed)
    Image.effect_noise((80, 72), 90).convert("RGB").save(folder / "photo.png")
    return folder


def write_lora(path, seed):
    from sd_scripts.networks.lora import create_network

    family = tiny_family()
    made = create_network(1.0, 2, 2, family.vae, family.text_encoder, family.unet, adaptable=family.adaptable())
    made.apply_to(family.text_encoder, family.unet)
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    made.save_weights(str(path), None, {"ss_network_module": "networks.lora"})


def write_hypernetwork(path):
    """One that changes what cross-attention reads; the width is that of a tiny model's texts."""
    from sd_scripts.library.networks.hypernetwork import Hypernetwork
    from sd_scripts.library.networks.hypernetwork_file import save_hypernetwork
    from sd_scripts.library.networks.hypernetwork_shape import Shape

    made = Hypernetwork([16], Shape(initialisation="XavierNormal"), "style")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made.draw()
    save_hypernetwork(path, made, {"sd_checkpoint": None, "sd_checkpoint_name": None})
    return path


def vectors_of(folder, word, table="text_encoder"):
    """The vectors that a model has of its own for a word."""
    from sd_scripts.library.generate.opening import load_family
    from sd_scripts.library.models.clip_tokenizer import clip_tokenizer
    from sd_scripts.library.report import Report
    from sd_scripts.options.gen_img import DrawnModelOptions

    family = load_family(DrawnModelOptions(), str(folder), Report(out=Recorder().out))
    ids = clip_tokenizer("!").backend_tokenizer.encode(word, add_special_tokens=False).ids
    return family.text_encoders[table].get_input_embeddings().weight.detach()[ids].clone()


SMALL = ("--W", "64", "--H", "64", "--steps", "2", "--seed", "7")


@pytest.fixture
def draw(world, tmp_path):
    """Draws with options, into an empty folder; gives what was told, and all pictures by their events."""

    def drawn(*argv, out="out", small=SMALL, model="base"):
        from sd_scripts.gen_img import work

        recorder = Recorder()
        argv = [str(world / word) if (world / word).is_file() else word for word in map(str, argv)]
        ckpt = ["--ckpt", str(world / f"{model}.safetensors")] if model else []
        work(
            parse(GenImgOptions, [*ckpt, "--outdir", str(tmp_path / out), *small, *argv], "gen_img.py"), recorder.report
        )
        recorder.pictures = [pixels(event.path) for event in recorder.of("sample")]
        return recorder

    return drawn


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def write_embedding(path, **tensors):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
