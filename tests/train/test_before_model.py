"""What the headers of files, the environment and the output folder tell before a model is read."""

import json

import pytest
import torch
from safetensors.torch import save_file

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.headers import model_facts
from sd_scripts.library.train.boards import check_boards
from sd_scripts.library.train.checks.training import check_names
from sd_scripts.library.train.notices import notices
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.training import LoggingOptions
from tests.train.tiny import options

UNET = "model.diffusion_model.input_blocks.0.0.weight"


def checkpoint(folder, layers, prefix="cond_stage_model.transformer.text_model.encoder.layers", **facts):
    path = folder / "model.safetensors"
    save_file({UNET: torch.zeros(2)} | {f"{prefix}.{i}.x": torch.zeros(2) for i in range(layers)}, path, facts)
    return str(path)


@pytest.mark.parametrize("layers", [1, 12, 23])
def test_a_header_tells_the_layers_of_the_text_encoder(tmp_path, layers):
    assert model_facts(checkpoint(tmp_path, layers)).text_layers == layers
    open_clip = checkpoint(tmp_path, layers, "cond_stage_model.model.transformer.resblocks")
    assert model_facts(open_clip).text_layers == layers


def test_a_folder_tells_them_by_its_configuration(tmp_path):
    for part, config in {"text_encoder": {"num_hidden_layers": 12}, "unet": {"in_channels": 4}}.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    (tmp_path / "model_index.json").write_text("{}")
    assert model_facts(tmp_path).text_layers == 12


@pytest.mark.parametrize(
    ("asked", "option", "said"),
    [
        ({"v2": True}, "v2", "is a Stable Diffusion 1 model: leave out --v2"),
        ({"v_parameterization": True}, "v_parameterization", "says that it predicts noise"),
        ({"clip_skip": 4}, "clip_skip", "the text encoder has 3 layers. Use 1 to 3."),
        ({"clip_skip": 3}, None, ""),
    ],
)
def test_the_header_is_asked_before_the_model_is_read(tmp_path, asked, option, said):
    text = TextEncodingOptions(clip_skip=asked.pop("clip_skip", None))
    model = ModelOptions(pretrained_model_name_or_path=checkpoint(tmp_path, 3, **{"modelspec.predict_key": "epsilon"}))
    for name, value in asked.items():
        setattr(model, name, value)
    if option is None:
        check_names(model, text)
        return
    with pytest.raises(BadOption, match=said) as caught:
        check_names(model, text)
    assert caught.value.option == option


def test_wandb_has_a_key_or_needs_none(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(BadOption, match="wandb has no key. Set WANDB_API_KEY") as caught:
        check_boards(LoggingOptions(log_with="wandb"))
    assert caught.value.option == "log_with"
    check_boards(LoggingOptions(log_with="wandb", wandb_api_key="k"))
    netrc.write_text("machine api.wandb.ai login user password k")
    check_boards(LoggingOptions(log_with="wandb"))
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    with pytest.raises(BadOption):
        check_boards(LoggingOptions(log_with="wandb"))
    table = tmp_path / "log.toml"
    table.write_text('[wandb]\nmode = "offline"')
    check_boards(LoggingOptions(log_with="wandb", log_tracker_config=str(table)))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    check_boards(LoggingOptions(log_with="wandb"))


def test_what_will_be_replaced_is_told(tmp_path):
    given = options(tmp_path, output_dir=str(tmp_path), output_name="meadow", save_model_as="safetensors")
    told = lambda: [one for one in notices(given, has_gpu=False) if one.option == "output_name"]  # noqa: E731
    assert told() == []
    (tmp_path / "meadow.safetensors").touch()
    (sentence,) = told()
    assert "meadow.safetensors is there already, and will be replaced when this training ends." in sentence


def test_what_a_file_cannot_hold_is_told_before(tmp_path):
    given = options(tmp_path, metadata_title="x", save_model_as="ckpt")
    (sentence,) = notices(given, has_gpu=False)
    assert sentence.option == "metadata_title" and sentence.startswith("Not written: --metadata_title.")


def test_every_notice_names_an_option_that_there_is(tmp_path):
    given = options(tmp_path, lowram=True, huber_c=0.3, max_train_epochs=1, ddp_timeout=2, log_config=True)
    found = list(notices(given, has_gpu=False))
    assert {one.option for one in found} >= {"lowram", "huber_c", "ddp_timeout", "log_config"}
    assert all(f"--{one.option}" in one for one in found)
