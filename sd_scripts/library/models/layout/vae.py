"""Names of the VAE's modules. Its attention is 1x1 convolutions in the original layout, linear layers in diffusers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sd_scripts.library.models.layout.names import Names

if TYPE_CHECKING:
    from torch import Tensor

_RESNET = [
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("nin_shortcut", "conv_shortcut"),
]
_ATTENTION = [("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")]
# What diffusers called the same layers before 0.17; its folders of that time are still in use.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def vae_names(levels: int, layers: int) -> Names:
    """The table of a VAE whose encoder has `layers` resnets in each of `levels` levels (its decoder one more)."""
    ends = [(f"{half}.{end}", f"{half}.{end}") for half in ("encoder", "decoder") for end in ("conv_in", "conv_out")]
    ends += [("encoder.norm_out", "encoder.conv_norm_out"), ("decoder.norm_out", "decoder.conv_norm_out")]
    ends += [("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv")]
    return Names([*ends, *_middle("encoder"), *_middle("decoder"), *_down(levels, layers), *_up(levels, layers + 1)])


def vae_to_diffusers(tensors: "Mapping[str, Tensor]", names: Names) -> "dict[str, Tensor]":
    """{diffusers' name: tensor} of an original VAE; names that diffusers does not have are left out."""
    renamed = ((names.to_diffusers(name), tensor) for name, tensor in tensors.items())
    return {name: tensor.flatten(1) if _attends(name) else tensor for name, tensor in renamed if name}


def vae_to_original(tensors: "Mapping[str, Tensor]", names: Names) -> "dict[str, Tensor]":
    """{original name: tensor} of diffusers' VAE."""
    original = {}
    for name, tensor in tensors.items():
        renamed = names.to_original(name)
        if renamed is None:
            raise ValueError(f"The VAE's tensor {name} has no name in the original layout.")
        original[renamed] = tensor[:, :, None, None] if _attends(name) else tensor
    return original


def with_new_attention_names(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors of a diffusers VAE, whichever names its version gave to attention."""
    renamed = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        parent, _, last = module.rpartition(".")
        renamed[f"{parent}.{_OLD_ATTENTION[last]}.{leaf}" if last in _OLD_ATTENTION else name] = tensor
    return {name: tensor.flatten(1) if _attends(name) else tensor for name, tensor in renamed.items()}


def _attends(name: str) -> bool:
    return ".attentions." in name and ".to_" in name and name.endswith(".weight")


def _middle(half: str) -> Iterator[tuple[str, str]]:
    for index in (0, 1):
        yield from _resnet(f"{half}.mid.block_{index + 1}", f"{half}.mid_block.resnets.{index}")
    for old, new in _ATTENTION:
        yield f"{half}.mid.attn_1.{old}", f"{half}.mid_block.attentions.0.{new}"


def _down(levels: int, layers: int) -> Iterator[tuple[str, str]]:
    for level in range(levels):
        for layer in range(layers):
            yield from _resnet(f"encoder.down.{level}.block.{layer}", f"encoder.down_blocks.{level}.resnets.{layer}")
        yield f"encoder.down.{level}.downsample.conv", f"encoder.down_blocks.{level}.downsamplers.0.conv"


def _up(levels: int, layers: int) -> Iterator[tuple[str, str]]:
    for level in range(levels):
        old = f"decoder.up.{levels - 1 - level}"  # The original layout counts its levels from the finest.
        for layer in range(layers):
            yield from _resnet(f"{old}.block.{layer}", f"decoder.up_blocks.{level}.resnets.{layer}")
        yield f"{old}.upsample.conv", f"decoder.up_blocks.{level}.upsamplers.0.conv"


def _resnet(original: str, diffusers: str) -> Iterator[tuple[str, str]]:
    return ((f"{original}.{old}", f"{diffusers}.{new}") for old, new in _RESNET)
