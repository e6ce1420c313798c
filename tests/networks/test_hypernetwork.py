"""Hypernetworks: they compute what formats.md says, their files come back and are those of the field."""

import pickle
import pickletools
from collections import OrderedDict
from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from safetensors.torch import save_file

from sd_scripts.library.errors import BadFile
from sd_scripts.library.example.sd_models import make_sd2
from sd_scripts.library.models.configs import base_config
from sd_scripts.library.models.sd import load
from sd_scripts.library.networks.hypernetwork import ACTIVATIONS, Change, Hypernetwork, attach, context_widths
from sd_scripts.library.networks.hypernetwork_file import load_hypernetwork, save_hypernetwork
from sd_scripts.library.networks.hypernetwork_shape import Shape, dropout_of
from sd_scripts.options.hypernetwork import Activation, HypernetworkOptions
from tests.networks.hypernetworks import FORMULAS, PlainAttention, changed
from tests.train.tiny import tiny_family

ORIGIN = {"sd_checkpoint": "0123456789", "sd_checkpoint_name": "base"}
DEEP = (1.0, 2.0, 0.5, 1.0)


def drawn(widths, seed=0, **shape):
    """A hypernetwork with weights large enough to be seen, also those of norms and biases."""
    made = Hypernetwork(widths, Shape(**shape), "style", 7).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in made.named_parameters():
        if parameter.numel() > 1:  # PReLU's slope stays.
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.3 if "weight" in name else 0.1))
    return made


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_is_the_formula(activation):
    for layer_norm, strength in ((False, 1.0), (True, 0.4)):
        made = drawn([12], activation=activation, layer_norm=layer_norm, layers=DEEP, dropout=(0, 0.3, 0, 0))
        change = made.pair(12)["k"]
        c_BLD = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))
        expected = changed(c_BLD.double().numpy(), change.state_dict(), made.shape.facts(), strength)
        np.testing.assert_allclose(change(c_BLD, strength).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_page_and_the_command_line_know_the_same_names():
    assert set(get_args(Activation)) == set(ACTIVATIONS) == set(FORMULAS)
    assert HypernetworkOptions().activation == Shape().activation


@pytest.mark.parametrize(("base", "text"), [("sd1", 768), ("sd2", 1024)])
def test_the_widths_of_true_models_are_those_of_the_field(base, text):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(base_config(base)["unet"])
    assert context_widths(unet) == sorted([320, 640, 1280, text])


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    return {"sd1": tiny_family(), "sd2": load(str(make_sd2(tmp_path_factory.mktemp("sd2") / "2.safetensors")), v2=True)}


def texts(family):
    generator = torch.Generator().manual_seed(4)
    return torch.randn(2, 77, family.unet.config.cross_attention_dim, generator=generator)


def answer(family):
    noisy_BCHW = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return family.unet(noisy_BCHW, torch.tensor([400, 5]), encoder_hidden_states=texts(family)).sample


CASES = [
    ("sd1", {}, 1.0),
    ("sd1", {"layers": DEEP, "activation": "swish", "layer_norm": True, "dropout": dropout_of(4, True, True)}, 0.6),
    ("sd1", {"activation": "relu", "activate_output": True, "dropout": dropout_of(3, True, True)}, -0.5),
    ("sd2", {"layers": DEEP, "activation": "tanh", "dropout": dropout_of(4, True, False)}, 1.3),
]


@pytest.mark.parametrize(("base", "shape", "strength"), CASES)
def test_a_model_answers_as_plain_attention_does_with_the_file(families, base, shape, strength, tmp_path):
    family, path = families[base], tmp_path / "style.pt"
    save_hypernetwork(path, drawn(context_widths(family.unet), **shape), ORIGIN)
    before = answer(family)
    detach = attach(load_hypernetwork(path), family.unet, strength)
    ours = answer(family)
    family.use_attention("mem_eff_attn")
    sliced = answer(family)
    detach()
    family.unet.set_attn_processor(PlainAttention(torch.load(path, weights_only=True), strength))
    expected = answer(family)
    family.use_attention("default")
    assert (expected - before).norm() > 0.01 * before.norm()
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(sliced, expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(answer(family), before), "detached, nothing is left of it"


def test_several_act_one_after_the_other(families):
    family = families["sd1"]
    text = family.unet.config.cross_attention_dim
    one, other = drawn([text], 1), drawn([text], 2)
    layer = family.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k
    detachers = [attach(one, family.unet, 0.5), attach(other, family.unet)]
    seen = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    both = answer(family)
    handle.remove()
    detachers[0]()
    assert not torch.equal(answer(family), both)
    detachers[1]()
    expected_BLD = other.pair(text)["k"](one.pair(text)["k"](texts(family), 0.5))
    torch.testing.assert_close(seen[0], expected_BLD)


def test_compiled_code_has_it_too():
    attention = Attention(query_dim=16, heads=2, dim_head=8)
    hidden_BLD = torch.randn(2, 5, 16)
    plain = attention(hidden_BLD)
    attach(drawn([16], activation="relu", layer_norm=True), attention, 0.5)
    expected = attention(hidden_BLD)
    attention.compile(backend="eager", fullgraph=True)
    try:
        torch.testing.assert_close(attention(hidden_BLD), expected)
    finally:
        torch._dynamo.reset()
    assert not torch.allclose(plain, expected)


def test_in_half_precision_it_answers_in_that(families):
    made = drawn([12])
    c_BLD = torch.randn(1, 3, 12, dtype=torch.bfloat16)
    changed_BLD = made.pair(12)["v"](c_BLD)
    assert changed_BLD.dtype is torch.bfloat16 and not torch.equal(changed_BLD, c_BLD)
    torch.testing.assert_close(changed_BLD.float(), made.pair(12)["v"](c_BLD.float()), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_file_comes_back(ending, tmp_path):
    path = tmp_path / f"style.{ending}"
    shape = {"layers": (1.0, 1.5, 2.0, 1.0), "activation": "prelu", "layer_norm": True, "dropout": (0, 0.05, 0.1, 0)}
    made = drawn([16, 32], **shape, initialisation="KaimingNormal")
    save_hypernetwork(path, made, ORIGIN, metadata={"ss_steps": "7"})
    again = load_hypernetwork(path)
    assert (again.shape, again.name, again.step, again.widths) == (made.shape, "style", 7, [16, 32])
    theirs = again.state_dict()
    assert set(theirs) == set(made.state_dict())
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in made.state_dict().items())
    assert not again.training and not any(parameter.requires_grad for parameter in again.parameters())
    save_hypernetwork(path, again, ORIGIN, torch.float16)
    assert {tensor.dtype for tensor in load_hypernetwork(path).state_dict().values()} == {torch.float16}


def test_the_file_has_the_keys_of_the_field(tmp_path):
    path = tmp_path / "style.pt"
    shape = {"activation": "relu", "layer_norm": True, "dropout": dropout_of(3, True, True)}
    save_hypernetwork(path, drawn([768], **shape), ORIGIN)
    file = torch.load(path, weights_only=True)
    (keys, values), names = file.pop(768), ("linear.0", "linear.2", "linear.4", "linear.5")
    assert list(keys) == list(values) == [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    assert keys["linear.0.weight"].shape == (1536, 768) and keys["linear.4.weight"].shape == (768, 1536)
    assert not torch.equal(keys["linear.0.weight"], values["linear.0.weight"])
    assert file == {
        "step": 7,
        "name": "style",
        "layer_structure": [1, 2, 1],
        "activation_func": "relu",
        "is_layer_norm": True,
        "weight_initialization": "Normal",
        "activate_output": False,
        "use_dropout": True,
        "dropout_structure": [0, 0.3, 0],
        "last_layer_dropout": True,
        "sd_checkpoint": "0123456789",
        "sd_checkpoint_name": "base",
    }


def test_web_uis_that_look_through_pickles_let_it_pass(tmp_path):
    """They know torch's form of before 2020, five pickles in a row, and of the newer archives not all of today's."""
    path = tmp_path / "style.pt"
    save_hypernetwork(path, drawn([16]), ORIGIN)
    with path.open("rb") as file:
        named = {arg for _ in range(5) for code, arg, _ in pickletools.genops(file) if code.name == "GLOBAL"}
    assert named <= {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage"}
    assert "torch FloatStorage" in named


def written_by_a_web_ui(**changes):
    """What AUTOMATIC1111 hands to torch.save."""
    made = drawn([16], activation="swish")
    pair = tuple(OrderedDict(made.pair(16)[part].state_dict()) for part in "kv")
    file = {16: pair, "step": 2000, "name": "theirs", "layer_structure": [1, 2, 1], "activation_func": "swish"}
    file |= {"is_layer_norm": False, "weight_initialization": "Normal", "sd_checkpoint": "6ce0161689"}
    file |= {"sd_checkpoint_name": "v1-5", "activate_output": False, "use_dropout": False}
    return made, file | {"dropout_structure": None, "last_layer_dropout": False, "optional_info": None} | changes


def test_a_web_uis_file_is_read(tmp_path):
    made, file = written_by_a_web_ui()
    torch.save(file, tmp_path / "a.pt")
    again = load_hypernetwork(tmp_path / "a.pt")
    assert (again.name, again.step, again.shape) == ("theirs", 2000, made.shape)
    c_BLD = torch.randn(1, 3, 16)
    assert torch.equal(again.pair(16)["v"](c_BLD), made.pair(16)["v"](c_BLD))


def test_the_first_files_are_read(tmp_path):
    """They had two layers, no activation, and said nothing else."""
    made = drawn([16], activate_output=True)
    older = {"linear.0.": "linear1.", "linear.1.": "linear2."}
    pair = tuple(
        {older[name[:9]] + name[9:]: tensor for name, tensor in made.pair(16)[part].state_dict().items()}
        for part in "kv"
    )
    torch.save({16: pair}, tmp_path / "first.pt")
    again = load_hypernetwork(tmp_path / "first.pt")
    assert (again.name, again.step, again.shape) == ("first", 0, made.shape)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in made.state_dict().items())


class Harmful:
    """Makes a file wherever it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_what_is_no_hypernetwork_is_one_sentence_and_runs_nothing(tmp_path):
    path, trace = tmp_path / "x.pt", tmp_path / "trace"
    made, good = written_by_a_web_ui()
    for file, sentence in (
        ({"a": torch.ones(2)}, "is no hypernetwork: it has modules for no width such as 768"),
        ([1, 2], "is no hypernetwork: it has modules for no width"),
        (good | {16: (good[16][0],)}, "is no hypernetwork: at 16 it has no two sets of weights"),
        (good | {"layer_structure": [1, 3, 1]}, "cannot be read: .*size mismatch|cannot be read: Error"),
        (good | {"layer_structure": [1, 2]}, "cannot be read: layer_structure begins and ends with 1"),
        (good | {"layer_structure": [1, 1e308, 1]}, "cannot be read: "),
        (good | {"layer_structure": "1, 2, 1"}, "cannot be read: could not convert"),
        (good | {"activation_func": "softmax"}, 'cannot be read: activation_func "softmax" is not known'),
        (good | {"activation_func": Harmful(trace)}, "cannot be read: activation_func"),
        (Harmful(trace), "is no hypernetwork"),
        (good | {"dropout_structure": [0, 1, 0]}, "cannot be read: dropout_structure begins and ends with 0"),
    ):
        torch.save(file, path)
        with pytest.raises(BadFile, match=sentence):
            load_hypernetwork(path)
    assert not trace.exists()
    header = tmp_path / "x.safetensors"
    for facts in ("[]", "{", "{}", "[" * 100_000):
        save_file({"a": torch.ones(2)}, header, {"hypernetwork": facts})
        with pytest.raises(BadFile, match="is no hypernetwork: it has modules for no width"):
            load_hypernetwork(header)
    path.write_bytes(pickle.dumps(3)[:-1])
    with pytest.raises(BadFile, match="is no checkpoint, or it is incomplete"):
        load_hypernetwork(path)
    with pytest.raises(BadFile, match="there is no such file"):
        load_hypernetwork(tmp_path / "none.pt")


def test_one_that_is_for_no_width_of_the_model_is_refused(families):
    sentence = "style is for contexts of width 768, and this model has 16, 32, 64"
    with pytest.raises(BadFile, match=sentence):
        attach(drawn([768], layers=(1.0, 1.0)), families["sd1"].unet)


def test_first_weights_are_drawn_as_said():
    for initialisation, spread in (
        ("Normal", 0.01),
        ("XavierUniform", (2 / (64 + 128)) ** 0.5),
        ("XavierNormal", (2 / (64 + 128)) ** 0.5),
        ("KaimingUniform", (2 / 64) ** 0.5),
        ("KaimingNormal", (2 / 64) ** 0.5),
    ):
        torch.manual_seed(0)
        made = Hypernetwork([64], Shape(activation="relu", layer_norm=True, initialisation=initialisation))
        made.draw()
        change = made.pair(64)["k"]
        assert isinstance(change, Change)
        state = change.state_dict()
        assert float(state["linear.0.weight"].std()) == pytest.approx(spread, rel=0.05)
        # Norms begin small whatever is asked for, and biases at none.
        assert float(state["linear.2.weight"].std()) == pytest.approx(0.01, rel=0.3)
        assert not any(tensor.any() for name, tensor in state.items() if name.endswith("bias"))


def test_the_two_switches_of_dropout():
    assert dropout_of(5, True, False) == (0, 0.3, 0.3, 0, 0)
    assert dropout_of(5, True, True) == (0, 0.3, 0.3, 0.3, 0)
    assert dropout_of(3, True, False) == (0, 0, 0) == dropout_of(3, False, True)
    made = drawn([16], dropout=(0, 0.5, 0)).train()
    c_BLD = torch.randn(1, 3, 16)
    assert not torch.equal(made.pair(16)["k"](c_BLD), made.pair(16)["k"](c_BLD))
