"""Networks merged into models, and with each other: what comes out is the sum, and others can read it."""

import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sd_scripts.library.example.sd_models import make_sd1, make_sd2, make_sdxl
from sd_scripts.library.io.headers import model_facts
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.family import SaveRequest, TextSettings
from sd_scripts.library.models.original import open_original
from sd_scripts.library.models.saving import original_tensors
from sd_scripts.library.networks.block_strengths import block_name
from sd_scripts.networks import lora
from tests.networks.made import change, changes, make_network, run_tool

MAKE = {"sd1": make_sd1, "sd2": make_sd2, "sdxl": make_sdxl}


def load(kind, path):
    return sdxl.load(str(path)) if kind == "sdxl" else sd.load(str(path), v2=kind == "sd2")


@pytest.fixture(scope="module", params=MAKE)
def world(request, tmp_path_factory):
    """A model in float16, a LoRA with convolutions, one without, and a DoRA: (kind, folder)."""
    folder = tmp_path_factory.mktemp(request.param)
    base = MAKE[request.param](folder / "base.safetensors", dtype=torch.float16)
    make_network(base, folder / "a.safetensors", conv=2)
    make_network(base, folder / "b.safetensors", rank=4, alpha=4, seed=1)
    make_network(base, folder / "dora.safetensors", conv=2, seed=2, dora=True)
    return request.param, folder


@pytest.fixture(scope="module")
def sd1(tmp_path_factory):
    """As `world`, of Stable Diffusion 1 in float32."""
    folder = tmp_path_factory.mktemp("one")
    base = make_sd1(folder / "base.safetensors")
    make_network(base, folder / "a.safetensors", conv=2)
    make_network(base, folder / "b.safetensors", rank=4, alpha=4, seed=1)
    return folder


def script_of(kind):
    """(script, its words for a kind of model)."""
    return (
        ("networks/sdxl_merge_lora.py",) if kind == "sdxl" else ("networks/merge_lora.py", *["--v2"][: kind == "sd2"])
    )


def trained(kind, folder, files, ratios, dtype=None):
    """The model's original tensors after the trainer's own networks were merged into it, computed in float32."""
    family = load(kind, folder / "base.safetensors")
    texts = list(family.text_encoders.values())
    for module in (family.unet, *texts):
        module.float()
    for file, ratio in zip(files, ratios, strict=True):
        given = (family.vae, texts, family.unet)
        network, tensors = lora.create_network_from_weights(
            ratio, str(folder / file), *given, adaptable=family.adaptable()
        )
        network.merge_to(texts, family.unet, tensors, torch.float32, "cpu")
    return original_tensors(family, dtype)


def test_a_table_of_names_finds_the_layers_that_networks_adapt(world):
    kind, folder = world
    model, family = open_original(str(folder / "base.safetensors")), load(kind, folder / "base.safetensors")
    layers = {layer.key: layer for layer in family.adaptable().layers}
    assert {key for key, layer in model.layers.items() if layer.adapted} == set(layers)
    for key, layer in layers.items():
        found = model.layers[key]
        assert torch.equal(model.weight(found), layer.module.weight), key
        assert (found.part, found.among_convs) == (layer.part, layer.among_convs), key


def test_a_merged_model_is_the_base_with_what_the_trainer_computes(world, tmp_path):
    kind, folder = world
    files, ratios = ["a.safetensors", "b.safetensors"], [0.7, -0.5]
    to = tmp_path / "merged.safetensors"
    words = ["--sd_model", folder / "base.safetensors", "--models", *(folder / file for file in files), "--save_to", to]
    run_tool(*script_of(kind), *words, "--ratios", *ratios)
    expected, found, base = trained(kind, folder, files, ratios), load_file(to), load_file(folder / "base.safetensors")
    assert set(found) == set(base)
    moved = {name for name in base if not torch.equal(base[name].float(), found[name].float())}
    assert len(moved) > 150
    for name, tensor in found.items():
        # Bit for bit; what no module has stays as it was.
        assert torch.equal(tensor.float(), expected.get(name, base[name]).float()), name
        vae = name.startswith("first_stage_model.")
        assert tensor.dtype == (base[name].dtype if vae or not tensor.is_floating_point() else torch.float32)


def test_in_half_precision_it_is_rounded_once(world, tmp_path):
    kind, folder = world
    to = tmp_path / "merged.safetensors"
    words = ["--sd_model", folder / "base.safetensors", "--models", folder / "dora.safetensors", "--save_to", to]
    run_tool(*script_of(kind), *words, "--ratios", 0.5, "--save_precision", "fp16")
    expected = trained(kind, folder, ["dora.safetensors"], [0.5])
    for name, tensor in load_file(to).items():
        if name in expected and tensor.is_floating_point():
            assert tensor.dtype == torch.float16
            torch.testing.assert_close(tensor.float(), expected[name].half().float(), rtol=2e-3, atol=1e-6)
    facts = model_facts(to)
    assert (facts.kind, facts.dtype) == (kind, "fp16")
    with safe_open(to, "pt") as file:
        assert file.metadata()["modelspec.merged_from"] == "base, dora"
        assert file.metadata()["modelspec.title"] == "merged"


def test_pickles_and_folders_are_merged_into_as_well(sd1, tmp_path):
    sd.load(str(sd1 / "base.safetensors")).save(SaveRequest(tmp_path / "folder", "diffusers_safetensors"))
    words = ["--models", sd1 / "a.safetensors", "--save_to"]
    run_tool("networks/merge_lora.py", *words, tmp_path / "one.ckpt", "--sd_model", tmp_path / "folder")
    run_tool("networks/merge_lora_old.py", *words, tmp_path / "two.safetensors", "--sd_model", sd1 / "base.safetensors")
    one, two = (
        torch.load(tmp_path / "one.ckpt", weights_only=True)["state_dict"],
        load_file(tmp_path / "two.safetensors"),
    )
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    assert set(two) - set(one) == {"cond_stage_model.transformer.text_model.embeddings.position_ids"}
    run_tool("networks/merge_lora.py", *words, tmp_path / "three.safetensors", "--sd_model", tmp_path / "one.ckpt")
    assert model_facts(tmp_path / "three.safetensors").kind == "sd1"


@pytest.mark.parametrize("words", [[], ["--concat"], ["--concat", "--shuffle"]])
def test_networks_merged_with_each_other_are_their_weighted_sum(world, words, tmp_path):
    kind, folder = world
    to = tmp_path / "sum.safetensors"
    files = [folder / "a.safetensors", folder / "b.safetensors"]
    run_tool(script_of(kind)[0], "--models", *files, "--ratios", 0.7, -0.5, "--save_to", to, *words)
    a, b, found = (changes(path) for path in (folder / "a.safetensors", folder / "b.safetensors", to))
    assert set(found) == set(a)
    for key, merged in found.items():
        expected = 0.7 * a[key] + (-0.5 * b[key] if key in b else 0)
        assert (merged - expected).norm() < 1e-6 * expected.norm(), key
    with safe_open(to, "pt") as file:
        told = file.metadata()
    assert told["ss_base_model_version"] == {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}[kind]
    assert told["ss_network_dim"] == "Dynamic" and told["modelspec.merged_from"] == "a, b" and told["sshs_model_hash"]


def test_without_concat_the_rank_is_as_low_as_the_sum_allows(sd1, tmp_path):
    same = ["--models", sd1 / "b.safetensors", sd1 / "b.safetensors", "--save_to", tmp_path / "c.safetensors"]
    run_tool("networks/merge_lora.py", *same)
    ranks = {len(t) for name, t in load_file(tmp_path / "c.safetensors").items() if name.endswith("lora_down.weight")}
    assert ranks == {4}
    run_tool("networks/merge_lora.py", *same, "--concat", "--no_metadata")
    tensors = load_file(tmp_path / "c.safetensors")
    assert {len(tensor) for name, tensor in tensors.items() if name.endswith("lora_down.weight")} == {8}
    with safe_open(tmp_path / "c.safetensors", "pt") as file:
        assert file.metadata()["ss_network_dim"] == "8" and "modelspec.title" not in file.metadata()


def svd_merged(folder, to, *words):
    files = folder / "a.safetensors", folder / "b.safetensors"
    run_tool("networks/svd_merge_lora.py", "--models", *files, "--ratios", 0.7, 0.5, "--save_to", to, *words)
    a, b = map(changes, files)
    return {key: 0.7 * a[key] + (0.5 * b[key] if key in b else 0) for key in a}, load_file(to)


def test_a_rank_that_is_enough_gives_the_sum_and_a_lower_one_the_nearest(sd1, tmp_path):
    expected, found = svd_merged(sd1, tmp_path / "whole.safetensors", "--new_rank", 7, "--new_conv_rank", 2)
    for key, whole in expected.items():
        assert (change(found, key) - whole).norm() < 1e-6 * whole.norm(), key
    expected, found = svd_merged(sd1, tmp_path / "near.safetensors", "--new_rank", 4, "--new_conv_rank", 1)
    for key, whole in expected.items():
        down = found[f"{key}.lora_down.weight"]
        rank = 1 if down.ndim == 4 and down.shape[2] > 1 else min(4, *whole.shape)
        values = torch.linalg.svdvals(whole)
        assert len(down) <= rank
        missed = (change(found, key) - whole).norm()
        assert abs(missed - values[rank:].norm()) < 1e-6 * whole.norm(), key


def test_strengths_by_block(world, tmp_path):
    kind, folder = world
    script = "networks/sdxl_merge_lora.py" if kind == "sdxl" else "networks/svd_merge_lora.py"
    names = ["BASE", "IN04", "IN05", "IN07", "IN08", "MID", *(f"OUT{n:02d}" for n in range(6))]
    if kind != "sdxl":
        names = ["BASE", *(f"IN{n:02d}" for n in (1, 2, 4, 5, 7, 8)), "MID", *(f"OUT{n:02d}" for n in range(3, 12))]
    numbers = [round(0.1 * (1 + place), 1) for place in range(len(names))]
    to = tmp_path / "blocks.safetensors"
    words = ["--new_rank", 3, "--new_conv_rank", 2] if kind != "sdxl" else []
    run_tool(script, "--models", folder / "a.safetensors", "--lbws", str(numbers), "--save_to", to, *words)
    whole, found, strengths = changes(folder / "a.safetensors"), changes(to), dict(zip(names, numbers, strict=True))
    seen = set()
    for key, before in whole.items():
        seen.add(block_name(key))
        expected = strengths.get(block_name(key), 1.0) * before
        assert (found[key] - expected).norm() < 1e-6 * before.norm(), key
    assert seen >= set(names) - {"IN00"}


def test_blocks_are_named_as_in_the_original_layout(world):
    kind, folder = world
    model = open_original(str(folder / "base.safetensors"))
    letters = {"input_blocks": "IN", "output_blocks": "OUT", "middle_block": "MID"}
    for key, layer in model.layers.items():
        if layer.part == "unet" and layer.adapted:
            place, number = layer.tensor.split(".")[2:4]
            expected = "MID" if place == "middle_block" else f"{letters[place]}{int(number):02d}"
            assert block_name(key) == expected, key


@pytest.mark.filterwarnings("ignore")
def test_diffusers_answers_with_the_merged_network_as_the_merged_model_does(tmp_path):
    import diffusers

    # The simpler families' files are shown with the trainer's networks.
    kind = "sdxl"
    base = MAKE[kind](tmp_path / "base.safetensors")
    files = [
        make_network(base, tmp_path / "a.safetensors", conv=2),
        make_network(base, tmp_path / "b.safetensors", 4, seed=1),
    ]
    words = ["--models", *files, "--ratios", 0.7, 0.5, "--save_to"]
    run_tool(script_of(kind)[0], *words, tmp_path / "ab.safetensors")
    run_tool(script_of(kind)[0], *words, tmp_path / "m.safetensors", "--sd_model", base)
    load(kind, base).save(SaveRequest(tmp_path / "pipeline", "diffusers_safetensors"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "pipeline", local_files_only=True)
        pipeline.load_lora_weights(tmp_path / "ab.safetensors")
    merged, plain = load(kind, tmp_path / "m.safetensors"), load(kind, base)
    texts = [pipeline.text_encoder, pipeline.text_encoder_2]
    theirs = answers(merged, pipeline.unet, texts)
    ours, before = (answers(one, one.unet, list(one.text_encoders.values())) for one in (merged, plain))
    for own, other, old in zip(ours, theirs, before, strict=True):
        assert (own - old).norm() > 0.01 * old.norm()
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def answers(family, unet, texts):
    """What text encoders and U-Net answer to a text and some noise."""
    tokens = family.tokenize(["a red cat"], TextSettings())
    hidden = [text(ids, output_hidden_states=True) for text, ids in zip(texts, tokens.values(), strict=True)]
    noisy_BCHW = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    hidden_BLD = torch.cat([output.hidden_states[-2] for output in hidden], dim=2)
    added = {"text_embeds": hidden[1].text_embeds, "time_ids": torch.full((1, 6), 64.0)}
    output = unet(noisy_BCHW, torch.tensor([400]), encoder_hidden_states=hidden_BLD, added_cond_kwargs=added)
    return hidden_BLD, output.sample


def test_the_trainer_goes_on_from_a_merged_network(sd1, tmp_path):
    from tests.networks.tiny import make_network_trainer

    to = tmp_path / "sum.safetensors"
    run_tool("networks/merge_lora.py", "--models", sd1 / "a.safetensors", sd1 / "b.safetensors", "--save_to", to)
    trainer, _ = make_network_trainer(tmp_path, network_weights=str(to), dim_from_weights=True)
    trainer.method.prepare(trainer.family, 1)
    own = trainer.method.network.state_dict()
    assert {name: tensor.shape for name, tensor in own.items()} == {n: t.shape for n, t in load_file(to).items()}
    assert all(torch.equal(tensor, own[name]) for name, tensor in load_file(to).items())


def test_the_file_appears_whole_or_not_at_all(sd1, tmp_path, monkeypatch):
    from sd_scripts.library.networks import into_model

    def broken(*_):
        raise RuntimeError("no more")

    monkeypatch.setattr(into_model, "with_network", broken)
    words = ["--sd_model", sd1 / "base.safetensors", "--models", sd1 / "a.safetensors"]
    with pytest.raises(RuntimeError, match="no more"):
        run_tool("networks/merge_lora.py", *words, "--save_to", tmp_path / "m.safetensors")
    assert list(Path(tmp_path).iterdir()) == []


def test_how_far_it_is_is_told(sd1, tmp_path):
    words = ["--sd_model", sd1 / "base.safetensors", "--models", sd1 / "a.safetensors"]
    recorder = run_tool("networks/merge_lora.py", *words, "--save_to", tmp_path / "m.safetensors")
    (phase,), progress = recorder.of("phase"), recorder.of("progress")
    assert phase.name == "merge" and progress[-1].done == progress[-1].total == phase.total
    assert [event.kind for event in recorder.of("saved")] == ["model"]
