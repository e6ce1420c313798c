"""True-size models have the original layout's names and shapes; both directions are each other's inverse."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from transformers import CLIPTextConfig, CLIPTextModel

from sd_scripts.library.io.drafts import Held
from sd_scripts.library.models import configs, saving
from sd_scripts.library.models.layout.text import open_clip_to_clip
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.layout.vae import vae_names, vae_to_diffusers, vae_to_original, with_new_attention_names
from sd_scripts.library.models.sources import VARIANTS
from tests.models.golden import golden, golden_file


def true_size(family: str) -> SimpleNamespace:
    """What saving needs of a model, without memory for its weights."""
    known = configs.base_config(family)
    with torch.device("meta"):
        return SimpleNamespace(
            variant=VARIANTS[family],
            unet=UNet2DConditionModel.from_config(known["unet"]),
            vae=AutoencoderKL.from_config(known["vae"]),
            text_encoders={"text_encoder": CLIPTextModel(CLIPTextConfig(**known["text_encoder"]))},
            vae_dtype=torch.float32,
            rest={},
        )


@pytest.mark.parametrize(("family", "counts"), [("sd1", (686, 248, 196)), ("sd2", (686, 248, 294))])
def test_a_true_size_file_has_the_original_names_and_shapes(family, counts, monkeypatch):
    # Tensors without memory cannot come to the CPU, so they stay where they are.
    monkeypatch.setattr(Held, "converted", lambda held: held.tensors)
    written = saving.original_tensors(true_size(family), None)
    assert {name: tuple(tensor.shape) for name, tensor in written.items()} == golden_file(family)
    prefixes = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")
    assert tuple(sum(name.startswith(prefix) for name in written) for prefix in prefixes) == counts


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_dimensions_are_read_from_true_size_weights(family):
    known = configs.base_config(family)
    # Known facts with other dimensions: what comes out must come from the weights.
    blank = configs.base_config(family)
    blank["unet"] |= {"block_out_channels": [32], "layers_per_block": 9, "cross_attention_dim": 1}
    blank["vae"] |= {"block_out_channels": [32], "layers_per_block": 9}
    blank["text_encoder"] |= {
        "hidden_size": 1,
        "num_hidden_layers": 1,
        "intermediate_size": 1,
        "num_attention_heads": 1,
    }
    assert configs.unet_config(golden(f"unet_{family}"), blank["unet"]) == known["unet"]
    assert configs.vae_config(golden("vae"), blank["vae"]) == known["vae"]
    text = golden(f"text_{family}")
    assert VARIANTS[family].texts[0].read_config(text, blank["text_encoder"]) == known["text_encoder"]


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_diffusers_own_converter_agrees_on_every_name(family):
    """The list of names is right, and so is our table: diffusers' reader takes each name to the same place."""
    config = configs.base_config(family)["unet"]
    names = names_of(config)
    # Each tensor is its own number, so that a swap of equal shapes would show.
    numbered = {name: torch.tensor(index) for index, name in enumerate(golden(f"unet_{family}"))}
    prefixed = {f"model.diffusion_model.{name}": tensor for name, tensor in numbered.items()}
    theirs = single_file_utils.convert_ldm_unet_checkpoint(prefixed, config)
    assert theirs == {names.to_diffusers(name): tensor for name, tensor in numbered.items()}


def test_diffusers_own_converter_agrees_on_the_vae():
    config = configs.base_config("sd1")["vae"]
    shapes = golden("vae")
    numbered = {name: torch.full([1] * len(shape), index) for index, (name, shape) in enumerate(shapes.items())}
    prefixed = {f"first_stage_model.{name}": tensor for name, tensor in numbered.items()}
    theirs = with_new_attention_names(single_file_utils.convert_ldm_vae_checkpoint(prefixed, config))
    ours = vae_to_diffusers(numbered, vae_names(4, 2))
    assert {name: tensor.item() for name, tensor in theirs.items()} == {name: t.item() for name, t in ours.items()}
    back = vae_to_original(ours, vae_names(4, 2))
    assert back == numbered


def test_diffusers_own_converter_agrees_on_the_text_encoder_of_sd2():
    shapes = golden("text_sd2")
    width = 3  # Narrow, so that in_proj's three parts can be told apart cheaply.
    tensors = {}
    for index, (name, shape) in enumerate(shapes.items()):
        rows = 3 * width if "in_proj" in name else width
        tensors[name] = torch.arange(rows * width).view(rows, width)[(slice(None),) * min(2, len(shape))] + 1000 * index
        tensors[name] = tensors[name][:, 0] if len(shape) == 1 else tensors[name]
    with torch.device("meta"):
        model = CLIPTextModel(CLIPTextConfig(**configs.base_config("sd2")["text_encoder"]))
    model.config.hidden_size = width
    prefixed = {f"cond_stage_model.model.{name}": tensor for name, tensor in tensors.items()}
    prefixed["cond_stage_model.model.text_projection"] = torch.zeros(width, width)
    theirs = single_file_utils.convert_open_clip_checkpoint(model, prefixed, prefix="cond_stage_model.model.")
    theirs = {name.removeprefix("text_model."): tensor for name, tensor in theirs.items()}
    ours = open_clip_to_clip(tensors, 23)
    assert ours.keys() == model.state_dict().keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
