"""What is added to a model for drawing: networks and hypernetworks, each with its strength, and taken off again."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.generate.kinds import LORA, module_of
from sd_scripts.library.models.family import Family
from sd_scripts.library.networks.arguments import split_words
from sd_scripts.library.networks.hypernetwork import Hypernetwork, attach
from sd_scripts.library.networks.hypernetwork_file import load_hypernetwork
from sd_scripts.library.report import Report
from sd_scripts.library.train.network_module import create, open_network_module, text_encoders_of
from sd_scripts.options.gen_img import AddedOptions


@dataclass
class Strengths:
    """What can count more or less, each with the strength that the options give it."""

    networks: list[Any] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)

    def set(self, asked: Sequence[float] | None) -> None:
        """Strengths in the order of the networks; the last one goes on for all that follow. None: the usual ones.

        Errors: BadOption.
        """
        for place, network in enumerate(self.networks):
            strength = self.usual[place] if not asked else asked[min(place, len(asked) - 1)]
            if not hasattr(network, "set_multiplier"):
                if strength != self.usual[place]:
                    sentence = "this network's module cannot change its strength. Give it with --network_mul alone."
                    raise BadOption("network_mul", f"--network_mul {strength:g}: {sentence}")
                continue
            network.set_multiplier(strength)


def add_networks(family: Family, options: AddedOptions, report: Report) -> tuple[Strengths, Strengths]:
    """Adds what the options name; gives the networks and the hypernetworks that stay apart from the model's weights.

    Errors: BadOption, BadFile, NotInstalled.
    """
    networks, hypernetworks = Strengths(), Strengths()
    files = options.network_weights or []
    merged = len(files) if options.network_merge else options.network_merge_n_models or 0
    for place, file in enumerate(files):
        strength = _at(options.network_mul, place, 1.0)
        module = _at(options.network_module, place, None) or module_of(file)
        given = split_words((_at(options.network_args, place, "") or "").replace(";", " ").split())
        if place < merged:
            merge_network(family, file, strength, module, given)
            report.say(f"Merged {file} into the model, times {strength:g}.")
        else:
            networks.networks.append(add_network(family, file, strength, module, given))
            networks.usual.append(strength)
            report.say(f"Draws with {file}, times {strength:g}.")
    for place, file in enumerate(options.hypernetwork_weights or []):
        strength = _at(options.hypernetwork_mul, place, 1.0)
        hypernetworks.networks.append(add_hypernetwork(family, file, strength))
        hypernetworks.usual.append(strength)
        report.say(f"Draws with {file}, times {strength:g}.")
    return networks, hypernetworks


def add_network(family: Family, file: str, strength: float, module: str = LORA, given: Any = None) -> Any:
    """From now on the model answers with a network's change. Errors: BadOption, BadFile, NotInstalled."""
    network, tensors = _made(family, file, strength, module, given)
    network.apply_to(text_encoders_of(family), family.unet, True, True)
    try:
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        what = str(error).strip().splitlines()[-1].strip()
        raise BadFile(f"{file} does not fit this model: {what} Choose another.") from error
    network.to(family.unet.device)
    network.requires_grad_(False).eval()
    return network


def merge_network(family: Family, file: str, strength: float, module: str, given: Any) -> None:
    """Adds a network's change to the model's own weights. Errors: BadOption, BadFile, NotInstalled."""
    network, tensors = _made(family, file, strength, module, given)
    held = next(family.unet.parameters())
    network.merge_to(text_encoders_of(family), family.unet, tensors, held.dtype, held.device)


def add_hypernetwork(family: Family, file: str, strength: float) -> Any:
    """From now on the U-Net's attention reads its contexts through a hypernetwork. Errors: BadFile."""
    hypernetwork: Any = load_hypernetwork(file)
    held = _Adjustable(hypernetwork.to(family.unet.device), strength)
    attach(held, family.unet)  # type: ignore[arg-type]
    return held


class _Adjustable:
    """A hypernetwork that is attached once, and counts more or less from picture to picture."""

    def __init__(self, hypernetwork: Hypernetwork, strength: float) -> None:
        self._hypernetwork = hypernetwork
        self._strength = strength
        self.widths, self.name = hypernetwork.widths, hypernetwork.name

    def set_multiplier(self, strength: float) -> None:
        """How strongly it counts from now on."""
        self._strength = strength

    def pair(self, width: int) -> dict[str, Callable[[Any, float], Any]]:
        """The changes of a width: k and v."""
        return {part: self._changing(change) for part, change in self._hypernetwork.pair(width).items()}

    def _changing(self, change: Any) -> Callable[[Any, float], Any]:
        return lambda context_BLD, strength: change(context_BLD, strength * self._strength)


@contextmanager
def as_it_was(family: Family) -> Iterator[None]:
    """What is hung onto the model's layers within the block, in whatever way, and its new words, are gone after it.

    Weights that are changed in place stay changed.
    """
    modules = [module for part in (family.unet, *family.text_encoders.values()) for module in part.modules()]
    before, tokenizers = [_State(module) for module in modules], family.tokenizers
    try:
        yield
    finally:
        family.tokenizers = tokenizers
        for state in before:
            state.restore()


class _State:
    """A module's attributes, and what stands in its tables of children, parameters and hooks."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._attributes = dict(module.__dict__)
        tables = (value for value in self._attributes.values() if type(value) in (dict, OrderedDict))
        self._tables = [(table, tuple(table.items())) for table in tables]

    def restore(self) -> None:
        """The module as it was; its tables are the same objects as before."""
        self._module.__dict__.clear()
        self._module.__dict__.update(self._attributes)
        for table, items in self._tables:
            table.clear()
            table.update(items)


def _made(family: Family, file: str, strength: float, module: str, given: Any) -> Any:
    opened = open_network_module(module)
    more = {"for_inference": True, **(given or {})}
    return create(opened.create_network_from_weights, (strength, file), family, more)


def _at(values: Sequence[Any] | None, place: int, otherwise: Any) -> Any:
    """The place-th value; the last one goes on for all that follow."""
    return values[min(place, len(values) - 1)] if values else otherwise
