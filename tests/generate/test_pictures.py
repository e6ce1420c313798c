"""Pictures: what they are drawn with, and what each of it changes."""

import shlex

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from sd_scripts.library.errors import BadFile
from tests.generate.conftest import pixels, vectors_of, write_embedding, write_hypernetwork
from tests.networks.tiny import train_network

# diffusers' Euler schedulers hand torch tensors to numpy in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CAT = ("--prompt", "a red cat")


def same(one, two):
    return np.array_equal(one, two)


def nearly(one, two):
    return np.abs(one - two).max() <= 1


def test_a_picture_is_the_sample_of_training_bit_for_bit(draw, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a (red:1.2) cat --n rain --w 64 --h 72 --s 3 --d 11 --l 6 --ss euler_a\n", encoding="utf-8")
    _, trained = train_network(tmp_path, network_dim=2, sample_prompts=str(file), sample_every_n_steps=3)
    network = str(tmp_path / "out" / "X.safetensors")
    drawn = draw("--from_file", str(file), "--network_weights", network, small=())
    assert same(drawn.pictures[0], pixels(trained.of("sample")[0].path))
    assert not same(drawn.pictures[0], draw("--from_file", str(file), small=(), out="plain").pictures[0])


def test_strengths_of_networks(draw):
    plain = draw(*CAT).pictures[0]
    with_it = draw(*CAT, "--network_weights", "cat.safetensors", out="one").pictures[0]
    none = draw(*CAT, "--network_weights", "cat.safetensors", "--network_mul", "0", out="two").pictures[0]
    merged = draw(*CAT, "--network_weights", "cat.safetensors", "--network_merge", out="three").pictures[0]
    assert same(plain, none)
    assert not nearly(plain, with_it)
    assert nearly(with_it, merged)


def test_strengths_that_prompts_have(draw):
    networks = ("--network_weights", "cat.safetensors", "cat-000001.safetensors")
    lines = "a red cat --am 0,0\na red cat --am 1,0\na red cat"
    silent, one, both = draw("--prompt", lines, *networks, "--iter_same_seed", "--n_iter", "1").pictures
    seed = ("--iter_same_seed",)
    assert same(silent, draw(*CAT, *seed, out="plain").pictures[0])
    assert same(one, draw(*CAT, *seed, "--network_weights", "cat.safetensors", out="one").pictures[0])
    assert not same(one, both)


def test_strengths_of_hypernetworks(draw, tmp_path):
    file = write_hypernetwork(tmp_path / "style.pt")
    given = ("--hypernetwork_weights", str(file))
    none, some, whole = draw(*CAT, *given, "--grid_multipliers", "0", "0.5", "1").pictures
    assert same(none, draw(*CAT, out="plain").pictures[0])
    assert same(whole, draw(*CAT, *given, out="whole").pictures[0])
    assert same(some, draw(*CAT, "--grid", str(file), "--grid_multipliers", "0.5", out="grid").pictures[0])
    assert len({picture.tobytes() for picture in (none, some, whole)}) == 3


def test_an_embedding_is_read_where_its_word_stands(draw, tmp_path, world):
    """Its vectors are those of "red cat", so both prompts are one."""
    vectors = vectors_of(world / "base.safetensors", "red cat")
    write_embedding(tmp_path / "zork.safetensors", emb_params=vectors)
    torch.save({"string_to_param": {"*": vectors}, "name": "other", "step": 3}, tmp_path / "Blip.pt")
    files = ("--textual_inversion_embeddings", str(tmp_path / "zork.safetensors"), str(tmp_path / "Blip.pt"))
    prompts = "a red cat, here\na zork, here\na (BLIP:1), here\na zorky, here"
    without = draw("--prompt", prompts, "--iter_same_seed").pictures
    plain, zork, blip, zorky = draw("--prompt", prompts, "--iter_same_seed", *files, out="with").pictures
    assert same(plain, zork) and same(plain, blip) and not same(plain, zorky)
    assert [same(a, b) for a, b in zip(without, (plain, zork, blip, zorky), strict=True)] == [True, False, False, True]


def test_an_embedding_of_sdxl_has_a_part_for_either_encoder(draw, tmp_path, world):
    parts = {"clip_l": "text_encoder1", "clip_g": "text_encoder2"}
    found = {key: vectors_of(world / "large.safetensors", "red cat", part) for key, part in parts.items()}
    write_embedding(tmp_path / "zork.safetensors", **found)
    file = ("--textual_inversion_embeddings", str(tmp_path / "zork.safetensors"))
    plain, zork = draw("--prompt", "a red cat\na zork", "--iter_same_seed", *file, model="large").pictures
    assert same(plain, zork)


def test_a_picture_to_begin_with(draw):
    image = ("--image_path", "photo.png", *CAT)
    kept, little, much = (
        draw(*image, "--strength", strength, small=("--seed", "7", "--steps", "10"), out=strength).pictures[0]
        for strength in ("0", "0.3", "0.9")
    )
    assert kept.shape == (72, 80, 3)
    assert np.abs(little - kept).mean() < np.abs(much - kept).mean()


def test_only_what_is_white_in_the_mask_is_drawn_anew(draw, tmp_path):
    mask = Image.new("L", (80, 72), 0)
    mask.save(tmp_path / "nothing.png")
    image = ("--image_path", "photo.png", *CAT)
    few = ("--seed", "7", "--steps", "4", "--sampler", "euler")
    kept = draw(*image, "--strength", "0", small=few, out="kept").pictures[0]
    masked = draw(*image, "--mask_path", str(tmp_path / "nothing.png"), small=few, out="masked").pictures[0]
    assert nearly(kept, masked)
    Image.new("L", (80, 72), 255).save(tmp_path / "all.png")
    anew = draw(*image, "--mask_path", str(tmp_path / "all.png"), small=few, out="anew").pictures[0]
    assert same(anew, draw(*image, small=few, out="unmasked").pictures[0])


@pytest.mark.parametrize("latents", [(), ("--highres_fix_latents_upscaling",)], ids=["pixels", "latents"])
def test_two_stages(draw, tmp_path, latents):
    stages = ("--highres_fix_scale", "0.5", "--highres_fix_steps", "2", "--strength", "0.5", "--highres_fix_save_1st")
    draw(*CAT, *stages, *latents)
    first, last = sorted((tmp_path / "out").iterdir(), key=lambda path: "_1st" not in path.name)
    assert pixels(first).shape == (32, 32, 3) and pixels(last).shape == (64, 64, 3)


def test_many_at_once_are_those_drawn_one_by_one(draw):
    several = ("--prompt", "a red cat\na blue dog", "--images_per_prompt", "2", "--sampler", "euler_a")
    one_by_one = draw(*several).pictures
    at_once = draw(*several, "--batch_size", "3", "--vae_batch_size", "2", out="at_once").pictures
    assert len(one_by_one) == 4
    assert all(nearly(one, two) for one, two in zip(one_by_one, at_once, strict=True))
    assert not same(one_by_one[0], one_by_one[1])


def test_a_negative_scale_of_its_own(draw):
    """Where both push alike, it is as without: with the empty prompt as the negative one, the scales add up."""
    guided = ("--prompt", "a red cat --n rain")
    assert not same(draw(*guided).pictures[0], draw(*guided, "--negative_scale", "3", out="apart").pictures[0])
    empty = draw(*CAT, "--negative_scale", "3", out="empty").pictures[0]
    assert nearly(empty, draw(*CAT, out="plain").pictures[0])


def test_a_picture_says_how_it_is_made_again(draw, monkeypatch, world, tmp_path):
    lines = "a (red:1.2) cat --n rain, snow --l 5\na blue dog"
    grid = ("--grid", "cat.safetensors", "--grid_multipliers", "0.5", "--sampler", "euler")
    drawn = draw("--prompt", lines, *grid)
    with Image.open(drawn.of("sample")[0].path) as image:
        texts = dict(image.text)
    assert texts["prompt"] == "a (red:1.2) cat" and texts["seed"] == "7"
    assert "Negative prompt: rain, snow\nSteps: 2, Sampler: euler, CFG scale: 5" in texts["parameters"]
    assert str(world) not in "".join(texts.values())
    monkeypatch.chdir(world)
    program, *words = shlex.split(texts["command"])
    assert program == "gen_img.py"
    again = draw(*words, small=(), model=None, out="again").pictures[0]
    assert same(again, drawn.pictures[0])


def test_sizes_are_told_to_sdxl(draw):
    plain = draw(*CAT, model="large").pictures[0]
    assert same(plain, draw("--prompt", "a red cat --ow 64 --oh 64 --ct 0 --cl 0", model="large", out="a").pictures[0])
    assert not same(plain, draw("--prompt", "a red cat --ow 512", model="large", out="b").pictures[0])


def broken(world, tmp_path, kind):
    """A file with one NaN, and the options that name it."""
    if kind == "embedding":
        write_embedding(tmp_path / "hole.safetensors", emb_params=torch.tensor([[0.1] * 15 + [torch.nan]]))
        return "--textual_inversion_embeddings", str(tmp_path / "hole.safetensors")
    file = world / "cat.safetensors" if kind == "network" else write_hypernetwork(tmp_path / "whole.safetensors")
    with safe_open(file, "pt") as held:
        tensors, header = {name: held.get_tensor(name) for name in held.keys()}, held.metadata()  # noqa: SIM118
    next(tensor for tensor in tensors.values() if tensor.ndim > 1).view(-1)[0] = torch.nan
    save_file(tensors, tmp_path / "hole.safetensors", header)
    return f"--{kind}_weights", str(tmp_path / "hole.safetensors")


@pytest.mark.parametrize("kind", ["network", "hypernetwork", "embedding"])
def test_what_holds_a_nan_is_refused_by_the_tensors_name(draw, world, tmp_path, kind):
    with pytest.raises(BadFile, match=r"hole.safetensors is damaged: \S+ holds NaN or infinite numbers"):
        draw(*CAT, *broken(world, tmp_path, kind))
    assert not list((tmp_path / "out").glob("*.png"))
