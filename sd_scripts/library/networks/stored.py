"""A network's file, read one layer at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import Checkpoint, open_checkpoint
from sd_scripts.library.io.fitting import check_pairs
from sd_scripts.library.io.usable import usable
from sd_scripts.library.networks.factors import Factors

Base = Literal["sd", "sdxl"]

_DOWN, _UP = ".lora_down.weight", ".lora_up.weight"
_OTHERS = {
    ".hada_w1_a": "LoHa", ".lokr_w1": "LoKr", ".lokr_w1_a": "LoKr", ".on_input": "(IA)^3", ".oft_blocks": "OFT",
    ".oft_diag": "OFT", ".diff": "a full difference", ".w_norm": "a full difference", ".lora_mid.weight": "LoCon",
    ".bias_indices": "LoCon with a sparse bias", ".a1.weight": "GLoRA",
}  # fmt: skip
"""Tensors that a plain LoRA has not, and whose they are."""
_ONLY_XL = ("lora_te1_", "lora_te2_", "lora_unet_input_", "lora_unet_middle_", "lora_unet_output_")
BASE_TITLES: dict[Base, str] = {"sd": "Stable Diffusion 1 or 2", "sdxl": "SDXL"}


@dataclass(frozen=True)
class StoredLora:
    """The LoRA, or DoRA, of one layer; `window`: height and width of a convolution's, None for a linear layer."""

    key: str
    up: Tensor
    down: Tensor
    alpha: float
    dora_scale: Tensor | None = None

    @property
    def rank(self) -> int:
        """The rank of the change."""
        return len(self.down)

    @property
    def scale(self) -> float:
        """What the product of the matrices is multiplied by."""
        return self.alpha / self.rank

    @property
    def is_wide_conv(self) -> bool:
        """Whether it is of a convolution over more than one pixel."""
        return self.down.ndim == 4 and tuple(self.down.shape[2:]) != (1, 1)

    def factors(self, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Factors:
        """Its two matrices in float32, without its scale; `dtype`: what their numbers are rounded to before."""
        up, down = (matrix.flatten(1).to(device, dtype).float() for matrix in (self.up, self.down))
        return Factors(up, down)

    def tensors(self, factors: Factors, alpha: float) -> dict[str, Tensor]:
        """Other matrices for the same layer, as a file has them."""
        down = factors.down_RI.reshape(factors.rank, *self.down.shape[1:])
        up = factors.up_OR.reshape(*factors.up_OR.shape, *([1, 1] if self.up.ndim == 4 else []))
        return lora_tensors(self.key, down, up, alpha)


def lora_tensors(key: str, down: Tensor, up: Tensor, alpha: float) -> dict[str, Tensor]:
    """The tensors of one layer in a file, on the CPU."""
    held = {f"{key}{_DOWN}": down, f"{key}{_UP}": up, f"{key}.alpha": torch.tensor(float(alpha))}
    return {name: tensor.to("cpu").contiguous() for name, tensor in held.items()}


class StoredNetwork:
    """An open file of LoRA or DoRA. Errors: BadFile, where it is another kind of file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file: Checkpoint = open_checkpoint(path)
        names = self.file.shapes
        self.keys = [name.removesuffix(_DOWN) for name in names if name.endswith(_DOWN)]
        other = next((kind for name in names for ending, kind in _OTHERS.items() if name.endswith(ending)), None)
        if other:
            raise BadFile(f"{path} is {other} of LyCORIS, no plain LoRA. Use tools/merge_lycoris.py for it.")
        if not self.keys:
            raise BadFile(f"{path} is no LoRA file: it has no tensor named ...lora_down.weight. Choose another.")
        check_pairs(path, names)

    @property
    def metadata(self) -> dict[str, str]:
        """Its header."""
        return self.file.metadata

    @property
    def base(self) -> Base:
        """Which models it is for, by its names."""
        return "sdxl" if any(key.startswith(_ONLY_XL) for key in self.keys) else "sd"

    @property
    def is_dora(self) -> bool:
        """Whether layers have lengths of their own for their rows."""
        return any(name.endswith(".dora_scale") for name in self.file.shapes)

    def has(self, key: str) -> bool:
        """Whether it changes a layer."""
        return f"{key}{_DOWN}" in self.file.shapes

    def rank(self, key: str) -> int:
        """The rank of one layer, which is told without reading it."""
        return self.file.shapes[f"{key}{_DOWN}"][0]

    def lora(self, key: str) -> StoredLora:
        """What it has of one layer; without an alpha it is the rank. Errors: BadFile, where it is unusable."""
        names = self.file.shapes
        down = self._tensor(f"{key}{_DOWN}")
        alpha = float(self._tensor(f"{key}.alpha")) if f"{key}.alpha" in names else float(len(down))
        lengths = self._tensor(f"{key}.dora_scale") if f"{key}.dora_scale" in names else None
        return StoredLora(key, self._tensor(f"{key}{_UP}"), down, alpha or float(len(down)), lengths)

    def _tensor(self, name: str) -> Tensor:
        return usable(self.path, name, self.file.tensor(name))


def plain_network(path: str | Path) -> StoredNetwork:
    """An open file of LoRA alone. Errors: BadFile, for DoRA too, whose change depends on the model."""
    network = StoredNetwork(path)
    if network.is_dora:
        way = "Merge it into the model (networks/merge_lora.py --sd_model), and extract a LoRA from that"
        raise BadFile(f"{path} is a DoRA, whose change depends on the model's weights, so this cannot be done. {way}.")
    return network


def one_base(networks: Iterable[StoredNetwork]) -> Base:
    """Which models all of them are for. Errors: BadFile, where they differ."""
    first, *others = networks
    for other in others:
        if other.base != first.base:
            kinds = f"{first.path} is for {BASE_TITLES[first.base]}, {other.path} for {BASE_TITLES[other.base]}"
            raise BadFile(f"{kinds}: they cannot be merged. Choose networks for one kind of model.")
    return first.base
