"""LyCORIS's networks: each algorithm learns, and its file comes back and merges; what is wrong is said."""

import pytest
import torch

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.networks.lycoris_arguments import unused
from tests.networks.test_files import answers
from tests.networks.tiny import make_network_trainer, saved, train_network
from tests.train.tiny import tiny_data, tiny_family
from tests.train.tiny_sdxl import tiny_sdxl

LYCORIS = "lycoris.kohya"
ALGOS = {
    "locon": (["dora_wd=True", "train_norm=True", "preset=attn-mlp"], "dora_scale"),
    "loha": (["use_tucker=True"], "hada_t1"),
    "lokr": (["factor=2", "decompose_both=True", "preset=attn-mlp"], "lokr_w2_a"),
    "ia3": (["preset=ia3"], "on_input"),
    "full": (["preset=attn-only"], "diff"),
    "dylora": (["block_size=2", "preset=attn-mlp"], "lora_up.weight"),
    "diag-oft": (["constraint=0.1", "preset=attn-mlp"], "oft_blocks"),
    "boft": (["rescaled=True", "preset=attn-only"], "rescale"),
    "glora": (["preset=attn-mlp"], "a1.weight"),
}
READ_DIFFERENTLY = ("full", "dylora")
"""Their files are not the weights that they train."""
TOKENS_BL = torch.tensor([[49406, 320, 736, 2368] + [49407] * 73])


@pytest.mark.parametrize("algo", ALGOS)
def test_an_algorithm_learns_and_its_file_comes_back(algo, tmp_path):
    given, tensor = ALGOS[algo]
    rank = 2 if algo == "lokr" else 4
    asked = {"network_module": LYCORIS, "network_args": [f"algo={algo}", *given], "network_dim": rank}
    trainer, recorder = train_network(tmp_path, data=tiny_data(2), max_train_steps=2, learning_rate=1e-2, **asked)
    assert "Moved since the start" in recorder.said
    tensors = saved(tmp_path)
    assert any(name.endswith(f".{tensor}") for name in tensors)
    names = {name.split(".")[0] for name in tensors}
    assert any(name.startswith("lora_te_text_model_encoder_layers_0_") for name in names)
    trainer.method.network.eval()
    ours = answers(trainer.family.unet, trainer.family.text_encoder, TOKENS_BL)
    plain = tiny_family()
    before = answers(plain.unet, plain.text_encoder, TOKENS_BL)
    assert all((own - other).norm() > 1e-4 * other.norm() for own, other in zip(ours, before, strict=True))
    file = str(tmp_path / "out" / "X.safetensors")
    ways = [{"base_weights": [file]}, {"network_weights": file, "dim_from_weights": True}]
    for way in (*ways, *([{"network_weights": file}] if algo in READ_DIFFERENTLY else [])):
        again, told = make_network_trainer(tmp_path, **asked, **way)
        again.method.prepare(again.family, 1)
        again.method.network.eval()
        assert "they begin anew" not in told.said and "left out" not in told.said
        for own, theirs in zip(ours, answers(again.family.unet, again.family.text_encoder, TOKENS_BL), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-3, msg=lambda text, way=way: f"{way}: {text}")


def test_sdxl_has_the_names_of_its_files(tmp_path):
    asked = {"network_module": LYCORIS, "network_args": ["algo=lokr", "factor=2", "train_norm=True"]}
    given = {"max_train_steps": 1, "learning_rate": 1e-2, "text_encoder_lr": None}
    trainer, recorder = train_network(tmp_path, tiny_sdxl(), tiny_data(2), **asked, **given)
    tensors = saved(tmp_path)
    names = {name.split(".")[0] for name in tensors}
    expected = {
        "lora_unet_input_blocks_0_0",
        "lora_unet_time_embed_0",
        "lora_unet_input_blocks_1_0_in_layers_2",
        "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q",
        "lora_unet_middle_block_1_norm",
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
    }
    assert expected <= names
    assert {layer.key for layer in trainer.family.adaptable().layers} <= names
    assert {"lr/unet", "lr/text_encoder1", "lr/text_encoder2"} <= set(recorder.of("metric")[0].values)
    file = str(tmp_path / "out" / "X.safetensors")
    again, _ = make_network_trainer(tmp_path, tiny_sdxl(), **asked, network_weights=file, dim_from_weights=True)
    again.method.prepare(again.family, 1)
    own = again.method.network.state_dict()
    assert set(own) == set(tensors) and all(torch.equal(own[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("words", [["algo=full", "preset=attn-only"], ["algo=dylora", "preset=attn-only"]])
def test_it_is_resumed_bit_for_bit(words, tmp_path):
    given = {"network_module": LYCORIS, "network_args": words, "max_train_steps": 2, "data": tiny_data(2)}
    _, whole = train_network(tmp_path, save_state=True, save_every_n_steps=1, **given)
    tensors = saved(tmp_path)
    state = next((tmp_path / "out").glob("*00000001-state"))
    _, resumed = train_network(tmp_path, resume=str(state), **given)
    assert resumed.losses == whole.losses[1:]
    again = saved(tmp_path)
    assert set(again) == set(tensors) and all(torch.equal(again[name], tensors[name]) for name in tensors)


SENTENCES = {
    "algo=lohaa": "algo=lohaa: there are boft, diag-oft,",
    "algo=norm": "norms are trained beside another algorithm: train_norm=True",
    "conv_dims=4": "lycoris.kohya has no such argument. Did you mean conv_dim?",
    "preset=attention": "there is no such preset and no such file. There are full, full-lin,",
    "train_norm=perhaps": "write True or False",
    "algo=dylora block_size=3": "algo=dylora needs ranks that are multiples of block_size, which is 3",
}


@pytest.mark.parametrize(("words", "sentence"), SENTENCES.items())
def test_what_is_wrong_is_said_before_the_model_is_loaded(words, sentence, tmp_path):
    trainer, _ = make_network_trainer(tmp_path, network_module=LYCORIS, network_args=words.split())
    with pytest.raises(BadOption, match=sentence.split(":")[0]) as caught:
        trainer.method.check(trainer.family.adaptable().blocks)
    assert caught.value.option == "network_args" and sentence in str(caught.value)


def test_arguments_that_an_algorithm_has_not_are_told():
    given = {"algo": "loha", "factor": "4", "rescaled": "True", "block_size": "4", "dora_wd": "True"}
    assert list(unused(given)) == [
        "--network_args factor is not used: algo=loha has no such thing, but lokr.",
        "--network_args rescaled is not used: algo=loha has no such thing, but boft, diag-oft.",
    ]


def test_files_that_do_not_fit_are_refused(tmp_path):
    asked = {"network_module": LYCORIS, "max_train_steps": 1}
    train_network(tmp_path, **asked, network_args=["algo=loha", "preset=attn-only"])
    file = str(tmp_path / "out" / "X.safetensors")
    for words, sentence in (("algo=lokr", "is of another kind"), ("algo=loha", "has another kind or rank")):
        given = {"network_args": [words, "preset=attn-only"], "network_weights": file, "network_dim": 3}
        trainer, _ = make_network_trainer(tmp_path, **asked, **given)
        with pytest.raises(BadFile, match=sentence):
            trainer.method.prepare(trainer.family, 1)
