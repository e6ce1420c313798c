"""The layers of a true-size SDXL that networks may adapt: how many, what files call them, where (formats.md)."""

import pytest
import torch
import transformers
from diffusers import UNet2DConditionModel

from sd_scripts.library.models import configs
from sd_scripts.library.models.adaptable import SDXL_BLOCKS, sdxl_layers
from sd_scripts.library.models.sdxl_variant import SDXL
from tests.models import golden_sdxl

PREFIXES = {"unet": "lora_unet_", "text_encoder1": "lora_te1_", "text_encoder2": "lora_te2_"}
FIRST_BLOCKS = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}


@pytest.fixture(scope="module")
def layers():
    known = configs.base_config("sdxl")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(known["unet"])
        texts = [
            getattr(transformers, text.kind)(transformers.CLIPTextConfig(**known[text.folder])) for text in SDXL.texts
        ]
    return sdxl_layers(unet, dict(zip(("text_encoder1", "text_encoder2"), texts, strict=True))).layers


def test_counts_are_those_of_the_field(layers):
    assert len({layer.key for layer in layers}) == len(layers) == 1052
    without_convs = [layer for layer in layers if not layer.among_convs]
    assert len(without_convs) == 986
    assert [sum(layer.part == part for layer in without_convs) for part in PREFIXES] == [722, 72, 192]


def test_the_unet_has_the_names_and_shapes_of_the_original_layout(layers):
    original = {
        f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}": shape
        for name, shape in golden_sdxl.unet().items()
    }
    for layer in layers:
        assert layer.key.startswith(PREFIXES[layer.part])
        assert layer.part != "unet" or original[layer.key] == tuple(layer.module.weight.shape), layer.key
    assert {
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "lora_unet_middle_block_1_proj_in",
        "lora_unet_output_blocks_5_1_transformer_blocks_1_ff_net_0_proj",
        "lora_unet_input_blocks_3_0_op",
        "lora_unet_output_blocks_2_2_conv",
        "lora_unet_input_blocks_1_0_emb_layers_1",
        "lora_te1_text_model_encoder_layers_11_self_attn_q_proj",
        "lora_te2_text_model_encoder_layers_31_mlp_fc2",
    } <= {layer.key for layer in layers}


def test_each_layer_lies_in_the_block_that_its_name_tells(layers):
    for layer in (layer for layer in layers if layer.part == "unet"):
        side = next(name for name in FIRST_BLOCKS if layer.key.startswith(f"lora_unet_{name}_"))
        within = int(layer.key.removeprefix(f"lora_unet_{side}_").split("_")[0])
        assert layer.block == FIRST_BLOCKS[side] + within < SDXL_BLOCKS.total - 1
    assert {layer.block for layer in layers if layer.part != "unet"} == {None}
