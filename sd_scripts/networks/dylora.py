"""DyLoRA, whose files may be cut to fewer ranks: --network_module networks.dylora. Its files are LoRA's."""

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.adaptable import Adaptable, Blocks, Layer
from sd_scripts.library.networks.adapter import NestedAdapter
from sd_scripts.library.networks.arguments import DyloraArguments, LoraFaArguments
from sd_scripts.library.networks.kind import NetworkKind
from sd_scripts.library.networks.network import Pace
from sd_scripts.library.networks.plan import DEFAULT_RANK, Plan, Size, plan_asked


class _Dylora(NetworkKind[DyloraArguments]):
    name, arguments = "networks.dylora", DyloraArguments

    def adapter(self, layer: Layer, size: Size, asked: DyloraArguments) -> NestedAdapter:
        return NestedAdapter(layer, size, asked.unit)

    def plan(self, adaptable: Adaptable, rank: int | None, alpha: float | None, asked: DyloraArguments) -> Plan:
        conv_alpha = alpha if asked.conv_alpha is None else asked.conv_alpha
        convs = LoraFaArguments(conv_dim=asked.conv_dim, conv_alpha=conv_alpha)
        return plan_asked(adaptable, rank, alpha, convs)

    def check(self, asked: DyloraArguments, blocks: Blocks, rank: int | None, alpha: float | None) -> None:
        rank = rank or DEFAULT_RANK
        if asked.conv_dim not in (None, rank):
            sentence = f"networks.dylora has one rank for all: write conv_dim={rank}, as --network_dim"
            raise BadOption("network_args", f"--network_args conv_dim={asked.conv_dim}: {sentence}.")
        if rank % asked.unit:
            sentence = f"--network_dim {rank} is no multiple of it"
            raise BadOption("network_args", f"--network_args unit={asked.unit}: {sentence}.")

    def pace(self, asked: DyloraArguments, blocks: Blocks) -> Pace:
        return Pace(ratios=asked)


_KIND = _Dylora()
check_arguments = _KIND.check_arguments
create_network, create_network_from_weights = _KIND.create_network, _KIND.create_network_from_weights
