"""LoRA-FA, of whose matrices only the second is trained: --network_module networks.lora_fa. Its files are LoRA's."""

from sd_scripts.library.models.adaptable import Layer
from sd_scripts.library.networks.adapter import FrozenDownAdapter
from sd_scripts.library.networks.arguments import LoraFaArguments
from sd_scripts.library.networks.kind import BlockwiseKind, dropouts_of
from sd_scripts.library.networks.plan import Size


class _LoraFa(BlockwiseKind[LoraFaArguments]):
    name, arguments = "networks.lora_fa", LoraFaArguments

    def adapter(self, layer: Layer, size: Size, asked: LoraFaArguments) -> FrozenDownAdapter:
        return FrozenDownAdapter(layer, size, dropouts_of(asked))


_KIND = _LoraFa()
check_arguments = _KIND.check_arguments
create_network, create_network_from_weights = _KIND.create_network, _KIND.create_network_from_weights
