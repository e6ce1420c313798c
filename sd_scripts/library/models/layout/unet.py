"""Names of the U-Net's modules. Every tensor has the same shape in both layouts."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sd_scripts.library.models.layout.names import Names

_ENDS = [
    ("input_blocks.0.0", "conv_in"),
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    # SDXL's, of sizes and the pooled text.
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
]
_RESNET = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
]


def unet_names(attention: list[bool], layers: int) -> Names:
    """The table of a U-Net with `layers` resnets a level; `attention` says of each, finest first, if it attends."""
    return Names([*_ENDS, *_down(attention, layers), *_middle(), *_up(attention[::-1], layers + 1)])


def names_of(config: Mapping[str, Any]) -> Names:
    """The table of a U-Net with this configuration of diffusers."""
    return unet_names([kind.startswith("CrossAttn") for kind in config["down_block_types"]], config["layers_per_block"])


def block_count(config: Mapping[str, Any]) -> int:
    """How many blocks the original layout has: embeddings, as many on the way down as on the way up, 3 between, out."""
    return 5 + 2 * _way(config)


def block_of(name: str, config: Mapping[str, Any]) -> int:
    """The block of a tensor of the original layout, counted from the input. Source: sd-scripts' block_lr for SDXL."""
    parts = re.match(r"(input_blocks|middle_block|output_blocks)\.(\d+)\.", name)
    if parts is None:
        return block_count(config) - 1 if name.startswith("out.") else 0
    firsts = {"input_blocks": 1, "middle_block": 1 + _way(config), "output_blocks": 4 + _way(config)}
    return firsts[parts[1]] + int(parts[2])


def _way(config: Mapping[str, Any]) -> int:
    """Blocks on the way down: a level is its resnets and one more, conv_in for the first, else what shrank."""
    return len(config["down_block_types"]) * (int(config["layers_per_block"]) + 1)


def _down(attention: list[bool], layers: int) -> Iterator[tuple[str, str]]:
    block = 1
    for level, attends in enumerate(attention):
        for layer in range(layers):
            yield from _resnet(f"input_blocks.{block}.0", f"down_blocks.{level}.resnets.{layer}")
            if attends:
                yield f"input_blocks.{block}.1", f"down_blocks.{level}.attentions.{layer}"
            block += 1
        if level < len(attention) - 1:
            yield f"input_blocks.{block}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
            block += 1


def _middle() -> Iterator[tuple[str, str]]:
    yield from _resnet("middle_block.0", "mid_block.resnets.0")
    yield "middle_block.1", "mid_block.attentions.0"
    yield from _resnet("middle_block.2", "mid_block.resnets.1")


def _up(attention: list[bool], layers: int) -> Iterator[tuple[str, str]]:
    for level, attends in enumerate(attention):
        for layer in range(layers):
            block = f"output_blocks.{level * layers + layer}"
            yield from _resnet(f"{block}.0", f"up_blocks.{level}.resnets.{layer}")
            if attends:
                yield f"{block}.1", f"up_blocks.{level}.attentions.{layer}"
        if level < len(attention) - 1:
            yield f"{block}.{2 if attends else 1}.conv", f"up_blocks.{level}.upsamplers.0.conv"


def _resnet(original: str, diffusers: str) -> Iterator[tuple[str, str]]:
    return ((f"{original}.{old}", f"{diffusers}.{new}") for old, new in _RESNET)
