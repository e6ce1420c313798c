"""LoRA and DoRA: --network_module networks.lora. The functions and names are those by which sd-scripts' trainers know
a network module; modules of others with the same ones can be trained too (library/train/network_module.py)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sd_scripts.library.models.adaptable import Blocks, Layer
from sd_scripts.library.networks.adapter import DoraAdapter, LoraAdapter
from sd_scripts.library.networks.arguments import LoraArguments
from sd_scripts.library.networks.block_rates import block_weights
from sd_scripts.library.networks.kind import BlockwiseKind, dropouts_of
from sd_scripts.library.networks.network import Pace
from sd_scripts.library.networks.plan import Size


class _Lora(BlockwiseKind[LoraArguments]):
    name, arguments = "networks.lora", LoraArguments

    def adapter(self, layer: Layer, size: Size, asked: LoraArguments) -> LoraAdapter:
        kind = DoraAdapter if asked.dora_wd else LoraAdapter
        return kind(layer, size, dropouts_of(asked))

    def pace(self, asked: LoraArguments, blocks: Blocks) -> Pace:
        return Pace(block_weights(asked, blocks), asked)

    def told_by(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"dora_wd": any(name.endswith(".dora_scale") for name in tensors)}


_KIND = _Lora()
check_arguments = _KIND.check_arguments
create_network, create_network_from_weights = _KIND.create_network, _KIND.create_network_from_weights
