"""The configurations that diffusers and transformers need: known facts, with dimensions read from the weights."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile

Shapes = Mapping[str, tuple[int, ...]]
Config = dict[str, Any]

_DATA = Path(__file__).parent / "data"
HEAD_SIZE = 64
"""Width of an attention head in CLIP, and in SD2's U-Net; a narrower layer has one head."""


def base_config(name: str) -> dict[str, Config]:
    """{part: configuration} of sd1, sd2, sd2_v (velocity, 768 px) or sdxl at their true size."""
    return json.loads((_DATA / f"{name}.json").read_text(encoding="utf-8"))


def config_from(read: Callable[[Shapes, Config], Config], shapes: Shapes, known: Config, source: Path) -> Config:
    """What `read` finds in the shapes. Errors: BadFile, naming `source`, when one is missing that tells a dimension."""
    try:
        return read(shapes, known)
    except (KeyError, IndexError, StopIteration, ValueError) as error:
        raise BadFile(f"{source} is incomplete: it lacks layers. Download or copy it again.") from error


def unet_config(shapes: Shapes, known: Config) -> Config:
    """`known` with the dimensions of a U-Net of the original layout."""
    blocks = _count(shapes, r"input_blocks\.(\d+)\.")
    levels = 1 + len({name for name in shapes if re.fullmatch(r"input_blocks\.\d+\.0\.op\.weight", name)})
    layers = blocks // levels - 1  # A level is its resnets and one more: conv_in for the first, else what shrank.
    firsts = [1 + level * (layers + 1) for level in range(levels)]
    attends = [f"input_blocks.{first}.1.proj_in.weight" in shapes for first in firsts]
    widths = [shapes[f"input_blocks.{first}.0.out_layers.3.weight"][0] for first in firsts]
    linear = known["use_linear_projection"]
    more: Config = {}
    if "transformer_layers_per_block" in known:
        depths = zip(firsts, attends, strict=True)
        more["transformer_layers_per_block"] = [_depth(shapes, first) if attend else 1 for first, attend in depths]
    if "label_emb.0.0.weight" in shapes:
        more["projection_class_embeddings_input_dim"] = shapes["label_emb.0.0.weight"][1]
    return known | {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        "cross_attention_dim": _one(shapes, r"middle_block\.1\..*\.attn2\.to_k\.weight")[1],
        # diffusers' name is misleading: these are numbers of heads.
        "attention_head_dim": [heads(width) for width in widths] if linear else known["attention_head_dim"],
        **more,
    }


def with_pooled(config: Config, pooled_width: int) -> Config:
    """SDXL's U-Net for a pooled text of this width: what its embedding reads besides are six numbers of equal width."""
    left = config["projection_class_embeddings_input_dim"] - pooled_width
    if left <= 0 or left % 6:
        raise ValueError("the U-Net's embedding does not fit the second text encoder")
    return config | {"addition_time_embed_dim": left // 6}


def vae_config(shapes: Shapes, known: Config) -> Config:
    """`known` with the dimensions of a VAE of the original layout."""
    levels = _count(shapes, r"encoder\.down\.(\d+)\.block\.")
    widths = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    return _vae_config(shapes, known, widths, _count(shapes, r"encoder\.down\.0\.block\.(\d+)\."))


def diffusers_vae_config(shapes: Shapes, known: Config) -> Config:
    """`known` with the dimensions of a VAE with diffusers' names."""
    levels = _count(shapes, r"encoder\.down_blocks\.(\d+)\.")
    widths = [shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(levels)]
    return _vae_config(shapes, known, widths, _count(shapes, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."))


def _vae_config(shapes: Shapes, known: Config, widths: list[int], layers: int) -> Config:
    return known | {
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
    }


def clip_config(shapes: Shapes, known: Config) -> Config:
    """`known` with the dimensions of a CLIP text model with transformers' names."""
    return _text_config(shapes, known, "embeddings.token_embedding", "embeddings.position_embedding.weight") | {
        "num_hidden_layers": _count(shapes, r"encoder\.layers\.(\d+)\."),
        "intermediate_size": shapes["encoder.layers.0.mlp.fc1.weight"][0],
    }


def open_clip_config(shapes: Shapes, known: Config) -> Config:
    """`known` with the dimensions of OpenCLIP's text model; its last block is not used, so not counted."""
    return _text_config(shapes, known, "token_embedding", "positional_embedding") | {
        "num_hidden_layers": _count(shapes, r"transformer\.resblocks\.(\d+)\.") - 1,
        "intermediate_size": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
    }


def heads(width: int) -> int:
    """How many attention heads a layer of this width has."""
    return max(1, width // HEAD_SIZE)


def _text_config(shapes: Shapes, known: Config, tokens: str, positions: str) -> Config:
    vocabulary, width = shapes[f"{tokens}.weight"]
    return known | {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_attention_heads": heads(width),
        "max_position_embeddings": shapes[positions][0],
    }


def _depth(shapes: Shapes, block: int) -> int:
    """Transformer layers of a block."""
    return _count(shapes, rf"input_blocks\.{block}\.1\.transformer_blocks\.(\d+)\.")


def _count(names: Iterable[str], pattern: str) -> int:
    """One more than the greatest number that the pattern finds at the start of a name."""
    found = [int(match[1]) for name in names if (match := re.match(pattern, name))]
    if not found:
        raise KeyError(pattern.replace("\\", ""))
    return 1 + max(found)


def _one(shapes: Shapes, pattern: str) -> tuple[int, ...]:
    for name, shape in shapes.items():
        if re.fullmatch(pattern, name):
            return shape
    raise KeyError(pattern.replace("\\", ""))
