"""Which layers of a model a network (LoRA and its kin) may adapt, what files call them, and in which block they lie."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sd_scripts.library.models.layout.unet import block_of, names_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Layer:
    """A linear or convolution layer. `key` is its name in files; `part` is unet, or that of a text encoder.

    `block`: its place in the list of the U-Net's blocks, None in text encoders. `among_convs`: it lies in a Resnet,
    Down- or Upsample block, which are adapted only when their convolutions are.
    """

    key: str
    module: "nn.Module"
    part: str
    block: int | None = None
    among_convs: bool = False

    @property
    def is_wide_conv(self) -> bool:
        """Whether it is a convolution over more than one pixel: those have ranks of their own."""
        size = getattr(self.module, "kernel_size", None)
        return size is not None and tuple(size) != (1, 1)


@dataclass(frozen=True)
class Blocks:
    """How the U-Net's blocks are counted in lists of ranks and rates. `before` and `after`: what has ranks but no rate
    of its own at the ends."""

    down: int
    mid: int
    up: int
    before: int = 0
    after: int = 0

    @property
    def total(self) -> int:
        """The length of a list with a number for each block."""
        return self.before + self.down + self.mid + self.up + self.after


@dataclass(frozen=True)
class Adaptable:
    """All layers of a model that networks may adapt."""

    layers: tuple[Layer, ...]
    blocks: Blocks
    unet_key: Callable[[str], str]
    """What files call a layer of the U-Net, of any kind, by its name in diffusers."""


SD_BLOCKS = Blocks(down=12, mid=1, up=12)
"""Of Stable Diffusion 1 and 2; the first of them, where the picture comes in, has no layer that is adapted."""

SDXL_BLOCKS = Blocks(down=9, mid=3, up=9, before=1, after=1)
"""Of SDXL, counted as in the original layout."""

_PLACE = re.compile(r"(down_blocks\.(\d+)|mid_block|up_blocks\.(\d+))\.(attentions|\w*samplers|resnets)\.(\d+)\.")


def sd_layers(unet: Any, text_encoder: Any) -> Adaptable:
    """Those of Stable Diffusion 1 and 2, under the names of diffusers and transformers (formats.md, "LoRA files")."""
    return Adaptable((*_unet_layers(unet), *_text_layers(text_encoder)), SD_BLOCKS, _unet_key)


def sdxl_layers(unet: Any, text_encoders: Mapping[str, Any]) -> Adaptable:
    """Those of SDXL: of the U-Net by the names of the original layout; `text_encoders` by those of their parts."""
    texts = [
        layer
        for number, (part, module) in enumerate(text_encoders.items(), 1)
        for layer in _text_layers(module, part, f"lora_te{number}")
    ]
    names = names_of(unet.config)

    def key(name: str) -> str:
        return _unet_key((names.to_original(f"{name}.weight") or "").removesuffix(".weight") or name)

    return Adaptable((*_original_unet_layers(unet), *texts), SDXL_BLOCKS, key)


def is_adapted(name: str) -> bool:
    """Whether networks adapt the layer of the U-Net that diffusers calls so."""
    return _PLACE.match(name) is not None


def lies_among_convs(name: str) -> bool:
    """Whether the U-Net's layer that diffusers calls so is adapted only when convolutions are."""
    place = _PLACE.match(name)
    return place is not None and place[4] != "attentions"


def network_key(prefix: str, name: str) -> str:
    """The name in networks' files of a layer, by that of its module or its weight."""
    return _key(prefix, name.removesuffix(".weight"))


def _unet_layers(unet: Any) -> Iterator[Layer]:
    for name, module, place in _placed(unet):
        yield Layer(_unet_key(name), module, "unet", _block(place), place[4] != "attentions")


def _original_unet_layers(unet: Any) -> Iterator[Layer]:
    names = names_of(unet.config)
    for name, module, place in _placed(unet):
        original = (names.to_original(f"{name}.weight") or "").removesuffix(".weight")
        block = block_of(original, unet.config)
        yield Layer(_unet_key(original), module, "unet", block, place[4] != "attentions")


def _placed(unet: Any) -> Iterator[tuple[str, Any, re.Match[str]]]:
    """The layers within blocks, with their names and places."""
    return ((name, module, place) for name, module in _layers(unet) if (place := _PLACE.match(name)))


def _text_layers(text_encoder: Any, part: str = "text_encoder", prefix: str = "lora_te") -> Iterator[Layer]:
    # Newer transformers have no level text_model; the files keep it.
    inner = getattr(text_encoder, "text_model", text_encoder)
    for name, module in _layers(inner.encoder):
        yield Layer(_key(f"{prefix}_text_model_encoder", name), module, part)


def _layers(module: Any) -> Iterator[tuple[str, Any]]:
    from torch import nn

    return ((name, inner) for name, inner in module.named_modules() if isinstance(inner, nn.Linear | nn.Conv2d))


def _block(place: re.Match[str]) -> int:
    """Each level has three blocks, the last of which is that of the down- or upsampler."""
    if place[1] == "mid_block":
        return SD_BLOCKS.down
    within = 2 if place[4].endswith("samplers") else int(place[5])
    if place[2] is not None:
        return 1 + 3 * int(place[2]) + within
    return SD_BLOCKS.down + SD_BLOCKS.mid + 3 * int(place[3]) + within


def _unet_key(name: str) -> str:
    return _key("lora_unet", name)


def _key(prefix: str, name: str) -> str:
    return f"{prefix}_{name.replace('.', '_')}"
