"""A kind of network: what networks/lora.py and its like are made of. They say what is theirs; how they are called, read
and planned stands here."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from sd_scripts.library.models.adaptable import Adaptable, Blocks, Layer
from sd_scripts.library.networks.adapter import Adapter, Dropouts, LoraAdapter
from sd_scripts.library.networks.arguments import LoraFaArguments, read_arguments
from sd_scripts.library.networks.block_rates import block_weights
from sd_scripts.library.networks.files import read_network
from sd_scripts.library.networks.network import AdapterNetwork, LowRankNetwork, Pace, known
from sd_scripts.library.networks.plan import Plan, check_lengths, plan_asked, plan_of

T = TypeVar("T")
L = TypeVar("L", bound=LoraFaArguments)


class NetworkKind(ABC, Generic[T]):
    """The three functions by which trainers know a network module, for one kind of adapters."""

    name: ClassVar[str]
    arguments: type[T]
    network: type[AdapterNetwork] = LowRankNetwork

    def check_arguments(self, given: Mapping[str, Any], blocks: Blocks, rank: int | None, alpha: float | None) -> None:
        """What can be said of --network_args before a model is loaded. Errors: BadOption."""
        self.check(self._read(given), blocks, rank, alpha)

    def create_network(
        self,
        multiplier: float,
        network_dim: int | None,
        network_alpha: float | None,
        vae: Any,
        text_encoder: Any,
        unet: Any,
        neuron_dropout: float | None = None,
        *,
        adaptable: Adaptable,
        **given: Any,
    ) -> AdapterNetwork:
        """A network of the size that is asked for. `given`: --network_args as texts. Errors: BadOption."""
        asked, adaptable = self._read({"dropout": neuron_dropout} | given), self.layers(adaptable)
        return self._made(adaptable, self.plan(adaptable, network_dim, network_alpha, asked), asked, multiplier)

    def create_network_from_weights(
        self,
        multiplier: float,
        file: str,
        vae: Any,
        text_encoder: Any,
        unet: Any,
        weights_sd: dict[str, Tensor] | None = None,
        for_inference: bool = False,
        *,
        adaptable: Adaptable,
        **given: Any,
    ) -> tuple[AdapterNetwork, dict[str, Tensor]]:
        """A network of a file's size, and the file's tensors, which are not in it yet. Errors: BadFile, BadOption."""
        if weights_sd is None:
            weights_sd = read_network(file, self.network.file_kind, self.network.file_mark)
        asked, adaptable = self._read(given | self.told_by(weights_sd)), self.layers(adaptable)
        plan: Mapping[str, Any] = known(self.plan_of(weights_sd), adaptable, file)
        return self._made(adaptable, plan, asked, multiplier), weights_sd

    @abstractmethod
    def adapter(self, layer: Layer, size: Any, asked: T) -> Adapter:
        """The adapter of one layer."""

    @abstractmethod
    def plan(self, adaptable: Adaptable, rank: int | None, alpha: float | None, asked: T) -> Mapping[str, Any]:
        """The size of the adapter of each layer that has one. Errors: BadOption."""

    def plan_of(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """The plan of a file's tensors."""
        return plan_of(tensors)

    def check(self, asked: T, blocks: Blocks, rank: int | None, alpha: float | None) -> None:
        """Further things to say before a model is loaded. Errors: BadOption."""

    def layers(self, adaptable: Adaptable) -> Adaptable:
        """What of a model it may adapt, under the names of its files."""
        return adaptable

    def pace(self, asked: T, blocks: Blocks) -> Pace:
        """What rates are multiplied by."""
        return Pace()

    def told_by(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """The arguments that a file's tensors tell."""
        return {}

    def _read(self, given: Mapping[str, Any]) -> T:
        return read_arguments(self.arguments, self.name, given)

    def _made(self, adaptable: Adaptable, plan: Mapping[str, Any], asked: T, multiplier: float) -> AdapterNetwork:
        adapters = [self.adapter(layer, plan[layer.key], asked) for layer in adaptable.layers if layer.key in plan]
        return self.network(adaptable, adapters, self.pace(asked, adaptable.blocks), multiplier)


class BlockwiseKind(NetworkKind[L]):
    """Kinds of LoRA whose blocks may have ranks and rates of their own."""

    @abstractmethod
    def adapter(self, layer: Layer, size: Any, asked: L) -> LoraAdapter:
        """The adapter of one layer."""

    def plan(self, adaptable: Adaptable, rank: int | None, alpha: float | None, asked: L) -> Plan:
        """As library/networks/plan.py says."""
        return plan_asked(adaptable, rank, alpha, asked)

    def check(self, asked: L, blocks: Blocks, rank: int | None, alpha: float | None) -> None:
        """Lists are as long as there are blocks. Errors: BadOption."""
        check_lengths(asked, blocks)
        block_weights(asked, blocks)

    def pace(self, asked: L, blocks: Blocks) -> Pace:
        """The weights of the blocks."""
        return Pace(block_weights(asked, blocks))


def dropouts_of(asked: LoraFaArguments) -> Dropouts:
    """What is left out by lot."""
    return Dropouts(asked.dropout or 0.0, asked.rank_dropout or 0.0, asked.module_dropout or 0.0)
