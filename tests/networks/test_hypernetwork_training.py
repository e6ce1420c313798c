"""Training a hypernetwork on the one loop: learnt, resumed, continued, in less memory, in parts."""

import hashlib
import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sd_scripts.library.errors import BadFile, BadOption, TrainingFailed
from sd_scripts.library.networks.hypernetwork_file import load_hypernetwork
from sd_scripts.library.train.hypernetwork_rules import check_hypernetwork, idle_hypernetwork
from sd_scripts.library.train.noise import Draw
from tests.networks.hypernetworks import hypernetwork_options, make_hypernetwork_trainer, train_hypernetwork
from tests.train.tiny import tiny_data, tiny_family, weights

DROPPED = {"layer_structure": [1, 2, 2, 1], "activation": "relu", "layer_norm": True, "use_dropout": True}


def state_of(folder, name="X.pt"):
    return load_hypernetwork(folder / "out" / name).state_dict()


def same(state, other):
    return set(state) == set(other) and all(torch.equal(tensor, other[name]) for name, tensor in state.items())


def test_ten_steps_are_five_and_five_bit_for_bit(tmp_path):
    given = {"max_train_steps": 10, "train_batch_size": 2, "lr_scheduler": "cosine", "save_state": True, **DROPPED}
    _, whole = train_hypernetwork(tmp_path, data=tiny_data(5), **given, save_every_n_steps=5)
    ends = state_of(tmp_path)
    state = tmp_path / "out" / "X-step00000005-state"
    again = tmp_path / "again"
    _, resumed = train_hypernetwork(again, data=tiny_data(5), **given, resume=str(state))
    assert resumed.losses == whole.losses[5:] and len(whole.losses) == 10
    assert same(ends, state_of(again)) and load_hypernetwork(again / "out" / "X.pt").step == 10
    with pytest.raises(BadOption, match="is of another model or network. Train as when it was saved"):
        train_hypernetwork(again, data=tiny_data(5), **given | {"layer_structure": [1, 3, 2, 1]}, resume=str(state))
    with pytest.raises(BadOption, match="it has no width_16.safetensors"):
        one = {"enable_sizes": [32], "max_train_steps": 1}
        train_hypernetwork(again, **one, save_state_on_train_end=True)
        train_hypernetwork(again, resume=str(again / "out" / "X-state"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a hypernetwork, and the trainer that made it."""
    folder = tmp_path_factory.mktemp("trained")
    trainer, recorder = train_hypernetwork(folder, learning_rate=1e-2, activation="swish")
    return folder, trainer, recorder


def test_the_base_model_stays_and_each_width_moves(trained):
    folder, trainer, recorder = trained
    base = tiny_family()
    for part in ("unet", "text_encoder", "vae"):
        assert same(weights(getattr(base, part)), weights(getattr(trainer.family, part)))
    assert "The hypernetwork changes what attention reads at the widths 16, 32, 64." in recorder.said
    moved = r"Moved since the start, by a sample of the weights: width 16 by .*, width 32 by .*, width 64 by"
    assert re.search(moved, recorder.said)


def test_a_hypernetwork_goes_on_from_its_file(trained, tmp_path):
    folder, trainer, _ = trained
    file = str(folder / "out" / "X.pt")
    given = {"hypernetwork_weights": file, "activation": "relu", "save_model_as": "safetensors"}
    again, recorder = make_hypernetwork_trainer(tmp_path, **given, learning_rate=0.0, max_train_steps=1)
    again.method.prepare(again.family, 1)
    assert f"Going on from {file}, trained for 3 steps." in recorder.said
    assert same(again.method.hypernetwork.state_dict(), state_of(folder))
    assert [notice.option for notice in idle_hypernetwork(again.options)] == ["activation"]
    train_hypernetwork(tmp_path, **given, learning_rate=1e-3)
    more = load_hypernetwork(tmp_path / "out" / "X.safetensors")
    assert (more.step, more.shape.activation, more.name) == (6, "swish", "X")
    with pytest.raises(BadFile, match="X.safetensors is no hypernetwork"):
        header_alone = tmp_path / "X.safetensors"
        save_file({"16.k.linear.0.weight": torch.ones(2)}, header_alone)
        make_hypernetwork_trainer(tmp_path, hypernetwork_weights=str(header_alone))


def test_the_header_tells_of_the_training(tmp_path):
    def header(**values):
        train_hypernetwork(tmp_path, max_train_steps=1, save_model_as="safetensors", training_comment="mine", **values)
        with safe_open(tmp_path / "out" / "X.safetensors", "pt") as file:
            return file.metadata()

    found = header()
    assert found["modelspec.architecture"] == "stable-diffusion-v1/hypernetwork"
    assert found["ss_training_comment"] == "mine" and found["ss_sd_model_name"] == "base.safetensors"
    facts = json.loads(found["hypernetwork"])
    assert facts["sd_checkpoint_name"] == "base" and facts["layer_structure"] == [1, 2, 1]
    assert not any(key.startswith("ss_") for key in header(no_metadata=True))


def test_the_file_names_its_base_model(tmp_path):
    base = tmp_path / "anime.safetensors"
    base.write_bytes(b"weights")
    train_hypernetwork(tmp_path, max_train_steps=1, pretrained_model_name_or_path=str(base))
    file = torch.load(tmp_path / "out" / "X.pt", weights_only=True)
    digest = hashlib.sha256(b"weights").hexdigest()
    assert (file["sd_checkpoint"], file["sd_checkpoint_name"]) == (digest[:10], "anime")


def test_one_picture_is_learnt_by_heart(tmp_path, monkeypatch):
    """With the same noise in each epoch: all else of so small a model stays as it was drawn by lot."""
    monkeypatch.setattr("sd_scripts.library.train.trainer.Draw", lambda seed, _, noise: Draw(seed, 0, noise))
    given = {"max_train_steps": 40, "learning_rate": 3e-2, "min_timestep": 900, "max_timestep": 901}
    given |= {"layer_structure": [1, 4, 1], "activation": "relu"}
    _, recorder = train_hypernetwork(tmp_path, data=tiny_data(1), **given)
    first, last = sum(recorder.losses[:3]) / 3, sum(recorder.losses[-5:]) / 5
    assert first > 0.9 and last < 0.5, (first, last)


def test_less_memory_trains_the_same(tmp_path):
    given = {"train_batch_size": 4, **DROPPED}
    plain = train_hypernetwork(tmp_path, **given)[1].losses
    for values in (
        {"gradient_checkpointing": True},
        {"mem_eff_attn": True},
        {"cache_text_encoder_outputs": True},
    ):
        _, recorder = train_hypernetwork(tmp_path, **given, **values)
        assert recorder.losses == pytest.approx(plain, rel=1e-5), values
    _, one = train_hypernetwork(tmp_path, train_batch_size=4)
    _, two = train_hypernetwork(tmp_path, train_batch_size=2, gradient_accumulation_steps=2)
    assert two.losses == pytest.approx(one.losses, rel=1e-4)


@pytest.mark.parametrize(
    ("values", "held", "written"),
    [
        ({"mixed_precision": "bf16"}, torch.bfloat16, torch.float32),
        ({"mixed_precision": "bf16", "full_bf16": True}, torch.bfloat16, torch.bfloat16),
        ({"mixed_precision": "bf16", "fp8_base": True}, torch.float8_e4m3fn, torch.float32),
        ({"save_precision": "fp16"}, torch.float32, torch.float16),
    ],
)
def test_half_precision(values, held, written, tmp_path):
    trainer, recorder = train_hypernetwork(tmp_path, max_train_steps=2, **values)
    assert trainer.family.unet.mid_block.attentions[0].proj_in.weight.dtype is held
    assert {tensor.dtype for tensor in state_of(tmp_path).values()} == {written}
    assert len(recorder.losses) == 2


def test_widths_are_chosen(tmp_path):
    trainer, recorder = train_hypernetwork(tmp_path, max_train_steps=1, enable_sizes=[16], hypernetwork_strength=0.5)
    assert load_hypernetwork(tmp_path / "out" / "X.pt").widths == [16]
    assert "at the widths 16." in recorder.said
    with pytest.raises(BadOption, match="--enable_sizes 768: this model has no such width. It has 16, 32, 64"):
        train_hypernetwork(tmp_path, enable_sizes=[16, 768])


def test_an_inert_hypernetwork_is_an_error(tmp_path):
    with pytest.raises(TrainingFailed, match="Nothing is learnt: in the width 16 and width 32 and width 64 no weight"):
        train_hypernetwork(tmp_path, learning_rate=1e-60, save_every_n_steps=1)


def test_samples_are_drawn_with_it_and_without_dropout(tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat --w 64 --h 64 --s 2 --d 1\n")
    given = {"sample_prompts": str(tmp_path / "prompts.txt"), "sample_every_n_steps": 3, "learning_rate": 1e-2}
    trainer, _ = train_hypernetwork(tmp_path, **given, **DROPPED | {"initialisation": "XavierNormal"})
    trainer.outputs.draw("again", trainer.place)
    for parameter in trainer.method.hypernetwork.parameters():
        parameter.data.zero_()
    trainer.outputs.draw("empty", trainer.place)
    drawn = [path.read_bytes() for path in sorted((tmp_path / "out" / "sample").glob("*.png"))]
    assert len(drawn) == 3 and drawn[0] == drawn[1] != drawn[2]
    assert trainer.method.hypernetwork.training


def checked(**values):
    check_hypernetwork(hypernetwork_options("unused", **values))


@pytest.mark.parametrize(
    ("values", "option", "sentence"),
    [
        ({"layer_structure": [1, 2]}, "layer_structure", "--layer_structure 1 2: layer_structure begins and ends with"),
        ({"layer_structure": [1, 0, 1]}, "layer_structure", "has numbers above 0 only"),
        ({"dropout_structure": [0, 0]}, "dropout_structure", "has as many numbers as layer_structure"),
        ({"dropout_structure": [0, 1, 0]}, "dropout_structure", "has shares below 1 between"),
        ({"hypernetwork_strength": 0.0}, "hypernetwork_strength", "leaves nothing to learn from"),
        ({"hypernetwork_weights": "none.pt"}, "hypernetwork_weights", "none.pt: there is no such file"),
        ({"in_json": "a", "reg_data_dir": "b"}, "reg_data_dir", "does not go with --in_json"),
        ({"skip_until_initial_step": True}, "skip_until_initial_step", "needs --initial_step"),
    ],
)
def test_what_cannot_be_is_one_sentence(values, option, sentence):
    with pytest.raises(BadOption, match=sentence) as caught:
        checked(**values)
    assert caught.value.option == option


def test_sdxl_is_refused_by_name(tmp_path):
    from sd_scripts.library.example.sd_models import make_sdxl

    path = str(make_sdxl(tmp_path / "xl.safetensors"))
    with pytest.raises(BadOption, match="xl.safetensors is an SDXL model; hypernetworks are for Stable Diffusion 1"):
        checked(pretrained_model_name_or_path=path)


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"use_dropout": True}, "use_dropout"),
        ({"last_layer_dropout": True}, "last_layer_dropout"),
        ({"use_dropout": True, "dropout_structure": [0, 0.1, 0]}, "use_dropout"),
        ({"use_dropout": True, "last_layer_dropout": True}, None),
        ({"training_comment": "mine"}, "training_comment"),
    ],
)
def test_what_does_nothing_is_told(values, option):
    told = [notice.option for notice in idle_hypernetwork(hypernetwork_options("unused", **values))]
    assert told == ([option] if option else [])
