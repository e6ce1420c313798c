"""Orthogonal fine-tuning of the U-Net: --network_module networks.oft. --network_dim is the number of blocks that the
channels of a layer are divided into, and --network_alpha how far they may turn."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.adaptable import Adaptable, Blocks, Layer
from sd_scripts.library.networks.arguments import OftArguments
from sd_scripts.library.networks.kind import NetworkKind
from sd_scripts.library.networks.network import AdapterNetwork
from sd_scripts.library.networks.oft import OftAdapter, Turning, channels_of
from sd_scripts.library.networks.plan import DEFAULT_RANK

_DEFAULT_LIMIT = 1e-3


class _OftNetwork(AdapterNetwork[OftAdapter]):
    file_kind, file_mark = "OFT", "oft_blocks"


class _Oft(NetworkKind[OftArguments]):
    name, arguments, network = "networks.oft", OftArguments, _OftNetwork

    def adapter(self, layer: Layer, size: Turning, asked: OftArguments) -> OftAdapter:
        return OftAdapter(layer, size)

    def layers(self, adaptable: Adaptable) -> Adaptable:
        unet = (layer for layer in adaptable.layers if layer.part == "unet")
        named = (replace(layer, key=layer.key.replace("lora_unet", "oft_unet", 1)) for layer in unet)
        return replace(adaptable, layers=tuple(named))

    def plan(
        self, adaptable: Adaptable, rank: int | None, alpha: float | None, asked: OftArguments
    ) -> dict[str, Turning]:
        size = Turning(rank or DEFAULT_RANK, _DEFAULT_LIMIT if alpha is None else alpha)
        turned = [layer for layer in adaptable.layers if _is_asked(layer, asked)]
        for layer in turned:
            if channels_of(layer) % size.blocks:
                sentence = f"{layer.key} has {channels_of(layer)} channels, which it does not divide"
                raise BadOption("network_dim", f"--network_dim {size.blocks}: {sentence}.")
        return {layer.key: size for layer in turned}

    def plan_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Turning]:
        keys = [name.removesuffix(".oft_blocks") for name in tensors if name.endswith(".oft_blocks")]
        limits = {key: float(tensors.get(f"{key}.alpha", _DEFAULT_LIMIT)) for key in keys}
        return {key: Turning(len(tensors[f"{key}.oft_blocks"]), limits[key]) for key in keys}

    def check(self, asked: OftArguments, blocks: Blocks, rank: int | None, alpha: float | None) -> None:
        if alpha == 0:
            raise BadOption("network_alpha", "--network_alpha 0 lets networks.oft turn nothing. Use 0.001.")


def _is_asked(layer: Layer, asked: OftArguments) -> bool:
    if layer.among_convs:
        return asked.enable_conv
    return asked.enable_all_linear or "_attn" in layer.key


_KIND = _Oft()
check_arguments = _KIND.check_arguments
create_network, create_network_from_weights = _KIND.create_network, _KIND.create_network_from_weights
