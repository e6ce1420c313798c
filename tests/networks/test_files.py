"""Files of networks: diffusers reads them and answers as our trainer does; headers; other network modules."""

import hashlib
import json
import warnings

import pytest
import torch
from safetensors import safe_open

from sd_scripts.library.errors import BadFile, BadOption, NotInstalled
from sd_scripts.library.example.sd_models import make_sd1, make_sd2
from sd_scripts.library.models.family import SaveRequest, TextSettings
from sd_scripts.library.models.sd import load
from sd_scripts.library.networks.files import write_network
from sd_scripts.library.train.network_module import open_network_module
from tests.networks.tiny import make_network_trainer, network_options, saved, train_network
from tests.train.tiny import tiny_family

KINDS = {
    "linear": [],
    "conv": ["conv_dim=2", "conv_alpha=1"],
}


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def base(request, tmp_path_factory):
    """A model, and the same one in diffusers' pipeline."""
    from diffusers import StableDiffusionPipeline

    folder = tmp_path_factory.mktemp(request.param)
    make = make_sd1 if request.param == "sd1" else make_sd2
    path = str(make(folder / "base.safetensors"))
    v2 = request.param == "sd2"
    load(path, v2=v2).save(SaveRequest(folder / "pipeline", "diffusers_safetensors"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionPipeline.from_pretrained(folder / "pipeline", local_files_only=True)
    return lambda: load(path, v2=v2), pipeline


def answers(unet, text_encoder, tokens_BL):
    """Text encoder's and U-Net's answers to a text and some noise."""
    noisy_BCHW = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        hidden_BLD = text_encoder(tokens_BL).last_hidden_state
        return hidden_BLD, unet(noisy_BCHW, torch.tensor([400]), encoder_hidden_states=hidden_BLD).sample


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_diffusers_answers_as_our_trainer_does(base, kind, tmp_path):
    make, pipeline = base
    family = make()
    tokens_BL = family.tokenize(["a red cat"], TextSettings())["tokens_BL"]
    plain = answers(family.unet, family.text_encoder, tokens_BL)
    sizes = {"network_dim": 3, "network_alpha": 2, "learning_rate": 1e-2, "network_args": KINDS[kind] or None}
    trainer, _ = train_network(tmp_path, family, **sizes, v2=family.name == "sd2")
    trainer.learner.rest()
    ours = answers(family.unet, family.text_encoder, tokens_BL)
    pipeline.load_lora_weights(tmp_path / "out" / "X.safetensors")
    try:
        theirs = answers(pipeline.unet, pipeline.text_encoder, tokens_BL)
    finally:
        pipeline.unload_lora_weights()
    for own, other, before in zip(ours, theirs, plain, strict=True):
        assert (own - before).norm() > 0.01 * before.norm()
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)


def test_files_of_dora_have_a_length_for_each_row_and_come_back(tmp_path):
    given = {"learning_rate": 1e-2, "network_args": ["dora_wd=True", "conv_dim=2"]}
    trainer, _ = train_network(tmp_path, **given)
    trainer.learner.rest()
    tensors = saved(tmp_path)
    rows = {name.removesuffix(".dora_scale"): tensors[name] for name in tensors if name.endswith(".dora_scale")}
    assert set(rows) == {name.removesuffix(".alpha") for name in tensors if name.endswith(".alpha")}
    assert rows["lora_te_text_model_encoder_layers_0_mlp_fc1"].shape == (32, 1)
    assert rows["lora_unet_down_blocks_0_resnets_0_conv1"].shape == (32, 1, 1, 1)
    assert header(tmp_path / "out" / "X.safetensors")["ss_network_args"] == '{"dora_wd": "True", "conv_dim": "2"}'
    file = str(tmp_path / "out" / "X.safetensors")
    merged, _ = make_network_trainer(tmp_path, base_weights=[file])
    merged.method.prepare(merged.family, 1)
    again, _ = make_network_trainer(tmp_path, network_weights=file, dim_from_weights=True)
    again.method.prepare(again.family, 1)
    tokens_BL = again.family.tokenize(["a red cat"], TextSettings())["tokens_BL"]
    ours = answers(trainer.family.unet, trainer.family.text_encoder, tokens_BL)
    for other in (merged.family, again.family):
        for own, theirs in zip(ours, answers(other.unet, other.text_encoder, tokens_BL), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-3)


def header(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_the_header_tells_of_the_network(tmp_path):
    given = {"network_dim": 4, "network_dropout": 0.1, "unet_lr": 1e-3, "text_encoder_lr": [1e-4], "max_train_steps": 1}
    given |= {"network_args": ["conv_dim=2"], "training_comment": "for the wall"}
    train_network(tmp_path, **given)
    found = header(tmp_path / "out" / "X.safetensors")
    expected = {
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "X",
        "modelspec.prediction_type": "epsilon",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "1",
        "ss_network_dropout": "0.1",
        "ss_network_args": '{"conv_dim": "2"}',
        "ss_unet_lr": "0.001",
        "ss_text_encoder_lr": "0.0001",
        "ss_training_comment": "for the wall",
        "ss_base_model_version": "sd_v1",
        "ss_scale_weight_norms": "None",
    }
    assert {name: found.get(name) for name in expected} == expected
    data = (tmp_path / "out" / "X.safetensors").read_bytes()
    tensors = data[8 + int.from_bytes(data[:8], "little") :]
    assert found["sshs_model_hash"] == hashlib.sha256(tensors).hexdigest() and len(found["sshs_legacy_hash"]) == 8


def test_a_header_with_the_name_of_a_file_that_is_no_utf_8(tmp_path):
    """The hashes of a network are those of such a header too."""
    write_network(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, None, {"ss_sd_model_name": "gr\udcfcn.ckpt"})
    found = header(tmp_path / "a.safetensors")
    assert found["ss_sd_model_name"] == r"gr\udcfcn.ckpt" and len(found["sshs_legacy_hash"]) == 8


def test_a_header_without_the_training(tmp_path):
    asked = ["conv_dim=2"]
    train_network(tmp_path, max_train_steps=1, no_metadata=True, training_comment="no", network_args=asked)
    found = header(tmp_path / "out" / "X.safetensors")
    assert found["ss_network_dim"] == "4"
    kept = {name for name in found if name.startswith("ss_")}
    network = {f"ss_network_{name}" for name in ("module", "dim", "alpha", "args")}
    assert kept == network | {"ss_v2", "ss_base_model_version"}
    assert found["modelspec.architecture"] == "stable-diffusion-v1/lora"


def test_the_header_tells_the_sizes_of_a_file_that_was_gone_on_from(tmp_path):
    sizes = {"network_dim": 3, "network_alpha": 0, "network_args": ["conv_dim=2"], "max_train_steps": 1}
    train_network(tmp_path, **sizes, output_name="first")
    file = str(tmp_path / "out" / "first.safetensors")
    assert header(file)["ss_network_alpha"] == "3.0"
    train_network(tmp_path, network_weights=file, dim_from_weights=True, max_train_steps=1)
    found = header(tmp_path / "out" / "X.safetensors")
    assert (found["ss_network_dim"], found["ss_network_alpha"]) == ("3", "3.0")


@pytest.mark.parametrize("format", ["ckpt", "pt"])
def test_pickles_hold_the_same_tensors(format, tmp_path):
    train_network(tmp_path, max_train_steps=1, save_model_as=format, save_precision="fp16")
    tensors = torch.load(tmp_path / "out" / f"X.{format}", weights_only=True)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    again, _ = make_network_trainer(tmp_path, network_weights=str(tmp_path / "out" / f"X.{format}"))
    again.method.prepare(again.family, 1)
    own = again.method.network.state_dict()
    assert set(tensors) == set(own)
    assert all(torch.equal(tensor.float(), own[name]) for name, tensor in tensors.items())


def test_files_of_other_models_are_refused(tmp_path):
    from sd_scripts.library.io.checkpoints import write_safetensors

    for name, tensors, sentence in (
        ("none", {"a.weight": torch.zeros(1)}, "is no LoRA file"),
        ("xl", {"lora_te1_a.lora_down.weight": torch.zeros(4, 3)}, "which has 1 layers that this one has not, such as"),
    ):
        write_safetensors(tmp_path / f"{name}.safetensors", tensors)
        with pytest.raises(BadFile, match=sentence):
            train_network(tmp_path, network_weights=str(tmp_path / f"{name}.safetensors"), dim_from_weights=True)
    wide = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.zeros(4, 768)}
    write_safetensors(tmp_path / "wide.safetensors", wide)
    with pytest.raises(BadFile, match=r"is for another kind of model: .* has the shape \[4, 768\], not \[4, 16\]"):
        train_network(tmp_path, network_weights=str(tmp_path / "wide.safetensors"))


MODULES = {
    "networks.lor": (BadOption, "there is no such network. Use networks.lora."),
    "no.such.package": (NotInstalled, "cannot be imported"),
    "json": (BadOption, "is no network module: it has no create_network"),
    "a b": (BadOption, "is no name of a Python module"),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_that_are_none(name):
    error, sentence = MODULES[name]
    with pytest.raises(error, match=sentence):
        open_network_module(name)


def test_network_modules_of_others_are_trained(tmp_path):
    family = tiny_family()
    given = {"network_module": "tests.networks.foreign", "network_args": ["strength=2"], "save_state": True}
    # A name of Latin-1, as a program is given it. The module writes its file by itself, with what it is told.
    given["pretrained_model_name_or_path"] = "models/gr\udcfcn.safetensors"
    trainer, whole = train_network(tmp_path, family, **given, max_train_steps=4, save_every_n_steps=2)
    assert trainer.method.network.arguments == {"strength": "2", "dropout": None}
    assert [event.values["lr/group0"] for event in whole.of("metric")] == [1e-3] * 4
    ends = saved(tmp_path)
    state = str(tmp_path / "out" / "X-step00000002-state")
    _, resumed = train_network(tmp_path, tiny_family(), **given, max_train_steps=4, resume=state)
    assert resumed.losses == whole.losses[2:]
    assert all(torch.equal(tensor, ends[name]) for name, tensor in saved(tmp_path).items())
    told = header(tmp_path / "out" / "X.safetensors")
    assert json.loads(told["ss_network_args"]) == {"strength": "2"}
    assert told["ss_sd_model_name"] == r"gr\udcfcn.safetensors"


def test_options_that_do_not_go_together(tmp_path):
    from sd_scripts.library.train.network_rules import check_network, idle_network

    refused = {
        "--network_module is needed": {"network_module": None},
        "leave nothing to train": {"network_train_unet_only": True, "network_train_text_encoder_only": True},
        "Nothing is trained": {"network_train_unet_only": True, "unet_lr": 0.0},
        "has one text encoder": {"text_encoder_lr": [1e-4, 1e-4]},
        "takes one learning rate for everything": {"optimizer_type": "Prodigy", "unet_lr": 0.5},
        "needs --network_weights": {"dim_from_weights": True},
        "nothing would be left": {"network_train_text_encoder_only": True, "stop_text_encoder_training": 2},
        "needs --network_train_unet_only": {"cache_text_encoder_outputs": True},
        "has 1 numbers for 0": {"base_weights_multiplier": [1.0]},
        "there is no such file": {"base_weights": ["nowhere.safetensors"]},
        "--fp8_base_unet needs": {"fp8_base_unet": True},
        "needs --gradient_checkpointing": {"cpu_offload_checkpointing": True},
        "needs --initial_step": {"skip_until_initial_step": True},
        "scale_weight_norms 0": {"scale_weight_norms": 0.0},
        "network_dropout 1": {"network_dropout": 1.0},
        "write name=value": {"network_args": ["conv_dim"]},
    }
    for sentence, values in refused.items():
        with pytest.raises(BadOption, match=sentence):
            check_network(network_options(tmp_path, **values))
    check_network(network_options(tmp_path))
    check_network(network_options(tmp_path, cache_text_encoder_outputs=True, stop_text_encoder_training=0))
    told = {
        "--network_dropout is not used": {"network_dropout": 0.1, "network_args": ["dropout=0.2"]},
        "--network_dim is not used": {"dim_from_weights": True, "network_dim": 4},
        "--no_metadata leaves it out": {"training_comment": "x", "no_metadata": True},
        "only .safetensors files have a header": {"training_comment": "x", "save_model_as": "pt"},
        "--initial_epoch is not used": {"initial_epoch": 1, "initial_step": 1},
        "only says where the rate began": {"initial_step": 1, "resume": "x"},
        "finds its rates itself": {"optimizer_type": "AdaFactor", "unet_lr": 1e-4},
        "adds nothing to --fp8_base": {"fp8_base": True, "fp8_base_unet": True},
    }
    for sentence, values in told.items():
        assert [text for text in idle_network(network_options(tmp_path, **values), True) if sentence in text]


def test_what_is_read_is_not_written_over(tmp_path):
    from sd_scripts.library.train.network_rules import check_network

    train_network(tmp_path, max_train_steps=1)
    weights = str(tmp_path / "out" / "X.safetensors")
    with pytest.raises(BadOption, match="is what this training reads"):
        check_network(network_options(tmp_path, network_weights=weights))
