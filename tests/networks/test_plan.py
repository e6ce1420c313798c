"""What a network is asked for, and the layers, names and ranks that follow."""

import functools
import math

import pytest
import torch

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models import configs
from sd_scripts.library.models.adaptable import SD_BLOCKS, sd_layers
from sd_scripts.library.networks.arguments import LoraArguments, read_arguments, split_words
from sd_scripts.library.networks.block_rates import block_weights
from sd_scripts.library.networks.plan import Size, plan_asked, plan_of

read_lora = functools.partial(read_arguments, LoraArguments, "networks.lora")


def true_size(version):
    """The layers of a model as large as the real one, without its weights."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    parts = configs.base_config(version)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(parts["unet"])
        return sd_layers(unet, CLIPTextModel(CLIPTextConfig(**parts["text_encoder"])))


@pytest.fixture(scope="module")
def sd1():
    return true_size("sd1")


def test_the_names_are_those_of_the_field(sd1):
    plan = plan_asked(sd1, 8, 4.0, LoraArguments())
    assert len(plan) == 264 and sum(key.startswith("lora_te_") for key in plan) == 72
    assert len(plan_asked(sd1, 8, 4.0, read_lora({"conv_dim": "2"}))) == 350
    for key in (
        "lora_unet_down_blocks_0_attentions_0_proj_in",
        "lora_unet_down_blocks_2_attentions_1_transformer_blocks_0_attn2_to_out_0",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj",
        "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_2",
        "lora_te_text_model_encoder_layers_11_self_attn_q_proj",
        "lora_te_text_model_encoder_layers_0_mlp_fc2",
    ):
        assert plan[key] == Size(8, 4.0)


def test_convolutions_have_ranks_of_their_own_and_what_is_among_them_comes_along(sd1):
    plan = plan_asked(sd1, 8, 4.0, read_lora({"conv_dim": "2", "conv_alpha": "0.5"}))
    assert plan["lora_unet_down_blocks_0_resnets_0_conv1"] == Size(2, 0.5)
    assert plan["lora_unet_up_blocks_2_upsamplers_0_conv"] == Size(2, 0.5)
    assert plan["lora_unet_down_blocks_0_resnets_0_time_emb_proj"] == Size(8, 4.0)
    assert plan["lora_unet_down_blocks_1_resnets_0_conv_shortcut"] == Size(8, 4.0)


def test_stable_diffusion_2_has_more_text_layers():
    plan = plan_asked(true_size("sd2"), None, None, LoraArguments())
    assert len(plan) == 192 + 23 * 6 and set(plan.values()) == {Size(4, 1.0)}


def test_blocks_have_ranks(sd1):
    dims = list(range(25))
    asked = read_lora({"block_dims": ",".join(map(str, dims)), "conv_block_dims": ",".join(["3"] * 25)})
    plan = plan_asked(sd1, 7, 1.0, asked)
    ranks = {
        "lora_unet_down_blocks_0_attentions_0_proj_in": 1,
        "lora_unet_down_blocks_2_attentions_1_proj_out": 8,
        "lora_unet_mid_block_attentions_0_proj_in": 12,
        "lora_unet_up_blocks_1_attentions_0_proj_in": 16,
        "lora_unet_up_blocks_3_attentions_2_proj_in": 24,
        "lora_unet_down_blocks_1_downsamplers_0_conv": 3,
        "lora_unet_up_blocks_3_resnets_0_time_emb_proj": 22,
        "lora_te_text_model_encoder_layers_0_mlp_fc1": 7,
    }
    assert {key: plan[key].rank for key in ranks} == ranks


def test_a_block_without_a_rate_has_no_adapters(sd1):
    up = "0.1,0.2" + ",1" * 10
    asked = read_lora({"down_lr_weight": "zeros", "up_lr_weight": up, "block_lr_zero_threshold": "0.1"})
    plan = plan_asked(sd1, 4, 1.0, asked)
    assert not any("down_blocks" in key for key in plan)
    assert block_weights(asked, SD_BLOCKS) == (0.0,) * 12 + (1.0,) + (0.0, 0.2) + (1.0,) * 10
    assert "lora_unet_mid_block_attentions_0_proj_in" in plan


def test_curves_of_rates():
    weights = block_weights(read_lora({"down_lr_weight": "sine+0.5", "up_lr_weight": "reverse_linear"}), SD_BLOCKS)
    assert weights is not None and len(weights) == 25
    assert weights[:12] == pytest.approx([0.5 + math.sin(math.pi * i / 22) for i in range(12)])
    assert weights[13:] == pytest.approx([1 - i / 11 for i in range(12)])
    cosine = block_weights(read_lora({"up_lr_weight": "cosine"}), SD_BLOCKS)
    assert cosine is not None and cosine[13:] == pytest.approx([math.cos(math.pi * i / 22) for i in range(12)])


def test_a_file_tells_its_ranks():
    tensors = {"a.lora_down.weight": torch.zeros(3, 5), "a.alpha": torch.tensor(1.5)}
    assert plan_of(tensors | {"b.lora_down.weight": torch.zeros(2, 5)}) == {"a": Size(3, 1.5), "b": Size(2, 2.0)}


SENTENCES = {
    "conv_dims=4": "networks.lora has no such argument. Did you mean conv_dim?",
    "algo=loha": "networks.lora has no such argument. It has conv_dim, ",
    "conv_dim=four": "conv_dim=four: write a whole number, 1 or more",
    "conv_dim=0": "conv_dim=0: write a whole number, 1 or more",
    "rank_dropout=1": "rank_dropout=1: write a share from 0 to less than 1",
    "loraplus_lr_ratio=-1": "write a number above 0",
    "dora_wd=maybe": "write True or False",
    "conv_alpha=1": "conv_alpha does nothing without conv_dim or conv_block_dims",
    "block_alphas=1,2": "block_alphas does nothing without block_dims",
    "block_dims=1,2": "block_dims has 2 numbers, and there are 25 blocks (12 + 1 + 12)",
    "up_lr_weight=steep": "up_lr_weight=steep: write 12 numbers, 0 or more, separated by commas, or one of sine,",
    "mid_lr_weight=1,2": "mid_lr_weight=1,2: write 1 numbers",
    "conv_dim": "write name=value, such as conv_dim=4",
}


@pytest.mark.parametrize(("word", "sentence"), SENTENCES.items())
def test_what_is_wrong_is_one_sentence(word, sentence):
    from sd_scripts.networks.lora import check_arguments

    with pytest.raises(BadOption) as caught:
        check_arguments(split_words([word]), SD_BLOCKS, None, None)
    assert caught.value.option == "network_args" and sentence in str(caught.value)
