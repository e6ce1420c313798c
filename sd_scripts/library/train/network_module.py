"""Network modules: found by the name that --network_module gives, and called as sd-scripts' trainers call them."""

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from sd_scripts.library.errors import BadOption, NotInstalled
from sd_scripts.library.installed import import_installed
from sd_scripts.library.models.family import Family

_OPTION = "network_module"
_OWN = Path(__file__).resolve().parents[2] / "networks"
_ARRANGED = {"lycoris.kohya": "sd_scripts.library.networks.lycoris"}
"""Modules of other packages that one of ours calls, so that they fit our models."""


class Network(Protocol):
    """What the loop uses of a network. Members that only some modules have are asked for by name."""

    unet_loras: list[Any]
    text_encoder_loras: list[Any]

    def apply_to(self, text_encoder: Any, unet: Any, apply_text_encoder: bool, apply_unet: bool) -> None:
        """From now on the model answers with the network's change; a part that is not applied is dropped."""

    def load_weights(self, file: str) -> Any:
        """Takes a file's weights; gives what did not fit, as torch's load_state_dict does."""

    def save_weights(self, file: str, dtype: Any, metadata: dict[str, str] | None) -> None:
        """Writes a file."""

    def requires_grad_(self, requires_grad: bool) -> Any:
        """As of nn.Module."""

    def to(self, dtype: Any, /) -> Any:
        """As of nn.Module."""


class NetworkModule(Protocol):
    """A module of networks. One of ours takes the family's `adaptable` besides; others look through the model."""

    create_network: Callable[..., Network]
    create_network_from_weights: Callable[..., tuple[Any, Any]]


def open_network_module(name: str | None) -> NetworkModule:
    """The module: networks.X is ours, any other one that can be imported. Errors: BadOption, NotInstalled."""
    if not name:
        raise BadOption(_OPTION, f"--{_OPTION} is needed: networks.lora, or a network module of another package.")
    own = name.removeprefix("sd_scripts.")
    if own.startswith("networks."):
        return _own(own)
    if not all(part.isidentifier() for part in name.split(".")):
        raise BadOption(_OPTION, f'--{_OPTION} "{name}" is no name of a Python module. Use networks.lora.')
    arranged = _ARRANGED.get(name)
    return _checked(name, importlib.import_module(arranged) if arranged else _imported(name))


def create(function: Callable[..., Any], sizes: tuple[Any, ...], family: Family, given: dict[str, Any]) -> Any:
    """Calls a module's create_network or create_network_from_weights for a family's model."""
    if "adaptable" in inspect.signature(function).parameters:
        given = given | {"adaptable": family.adaptable()}
    return function(*sizes, family.vae, text_encoders_of(family), family.unet, **given)


def text_encoders_of(family: Family) -> Any:
    """The text encoder, or the list of them where there are several: so network modules are given them."""
    several = list(family.text_encoders.values())
    return several[0] if len(several) == 1 else several


def adapters_by_part(adapters: Iterable[Any], text_parts: Sequence[str]) -> dict[str, list[Any]]:
    """Adapters of text encoders by the parts that they are in: of several, their names say which (lora_te2_...)."""
    found: dict[str, list[Any]] = {part: [] for part in text_parts}
    for adapter in adapters:
        number = re.match(r"[a-z]+_te(\d)_", adapter.lora_name)
        found[text_parts[int(number[1]) - 1 if number else 0]].append(adapter)
    return found


def _own(name: str) -> NetworkModule:
    # Tools for networks, which are none, lie in the same folder.
    modules = (file for file in _OWN.glob("[!_]*.py") if "create_network" in file.read_text(encoding="utf-8"))
    known = sorted(f"networks.{file.stem}" for file in modules)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise BadOption(_OPTION, f"--{_OPTION} {name}: there is no such network. Use {(close or known)[0]}.")
    return _checked(name, importlib.import_module(f"sd_scripts.{name}"))


def _imported(name: str) -> Any:
    try:
        return import_installed(name)
    except ImportError as error:
        sentence = f"--{_OPTION} {name} cannot be imported ({error})"
        raise NotInstalled(f"{sentence}. Install its package, or use networks.lora.") from error


def _checked(name: str, module: Any) -> NetworkModule:
    missing = [one for one in ("create_network", "create_network_from_weights") if not hasattr(module, one)]
    if missing:
        raise BadOption(_OPTION, f"--{_OPTION} {name} is no network module: it has no {missing[0]}.")
    return cast(NetworkModule, module)
