"""Names of the text encoders' tensors: SD1's is CLIP as transformers has it, SD2's is OpenCLIP.

transformers' text model has `embeddings`, `encoder` and `final_layer_norm` at its top since 5.6, and below `text_model`
before; here the names are those without `text_model`.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sd_scripts.library.models.layout.names import Names

if TYPE_CHECKING:
    from torch import Tensor

WRAPPER = "text_model."
_BLOCK = [
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.out_proj", "self_attn.out_proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
]
_IN_PROJ = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")
_QKV = re.compile(r"encoder\.layers\.\d+\.self_attn\.[qkv]_proj\.(weight|bias)")
_POSITION = "positional_embedding"
_POSITION_IN_CLIP = "embeddings.position_embedding.weight"


def without_wrapper(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """CLIP's tensors under the names of today's transformers; position_ids, which newer versions compute, left out."""
    renamed = {name.removeprefix(WRAPPER): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in renamed.items() if name != "embeddings.position_ids"}


def with_wrapper(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """CLIP's tensors under the names that files use."""
    return {WRAPPER + name: tensor for name, tensor in tensors.items()}


def open_clip_to_clip(tensors: "Mapping[str, Tensor]", layers: int) -> "dict[str, Tensor]":
    """{transformers' name: tensor} of the first `layers` blocks of OpenCLIP's text model."""
    names = _open_clip_names(layers)
    clip = {}
    for name, tensor in tensors.items():
        in_proj = _IN_PROJ.fullmatch(name)
        if in_proj and int(in_proj[1]) < layers:
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                clip[f"encoder.layers.{in_proj[1]}.self_attn.{part}_proj.{in_proj[2]}"] = piece
        elif name == _POSITION:
            clip[_POSITION_IN_CLIP] = tensor
        elif renamed := names.to_diffusers(name):
            clip[renamed] = tensor
    return clip


def clip_to_open_clip(tensors: "Mapping[str, Tensor]", layers: int) -> "dict[str, Tensor]":
    """{OpenCLIP's name: tensor} of the `layers` blocks that transformers' text model has."""
    import torch

    names = _open_clip_names(layers)
    original = {_POSITION: tensors[_POSITION_IN_CLIP]}
    for name, tensor in tensors.items():
        if name == _POSITION_IN_CLIP or _QKV.fullmatch(name):
            continue
        renamed = names.to_original(name)
        if renamed is None:
            raise ValueError(f"The text encoder's tensor {name} has no name in the original layout.")
        original[renamed] = tensor
    for layer in range(layers):
        for kind in ("weight", "bias"):
            parts = [tensors[f"encoder.layers.{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            original[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(parts)
    return original


def clip_names(name: str, layers: int) -> list[str]:
    """The names in transformers, without text_model, of what a tensor of either layout holds: three where q, k and v
    lie in one, none where transformers has no such tensor among its first `layers` blocks."""
    plain = name.removeprefix(WRAPPER)
    in_proj = _IN_PROJ.fullmatch(plain)
    if in_proj:
        inside = int(in_proj[1]) < layers
        return [f"encoder.layers.{in_proj[1]}.self_attn.{part}_proj.{in_proj[2]}" for part in "qkv"] if inside else []
    if plain.startswith(("encoder.", "embeddings.", "final_layer_norm.")):
        return [plain]
    renamed = _open_clip_names(layers).to_diffusers(plain)
    return [renamed] if renamed else []


def _open_clip_names(layers: int) -> Names:
    modules = [("token_embedding", "embeddings.token_embedding"), ("ln_final", "final_layer_norm")]
    for layer in range(layers):
        old, new = f"transformer.resblocks.{layer}", f"encoder.layers.{layer}"
        modules += [(f"{old}.{name}", f"{new}.{clip}") for name, clip in _BLOCK]
    return Names(modules)
