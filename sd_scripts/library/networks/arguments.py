"""What a network is asked for: words of --network_args such as conv_dim=4, read into one record. Needs no torch."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

from sd_scripts.library.errors import BadOption

Numbers = tuple[float, ...]
Ranks = tuple[int, ...]
T = TypeVar("T")
_OPTION = "network_args"


@dataclass(frozen=True, kw_only=True)
class ConvArguments:
    """Rank and alpha of wide convolutions. Names of arguments are those that --network_args takes."""

    conv_dim: int | None = None
    conv_alpha: float | None = None


@dataclass(frozen=True, kw_only=True)
class RatioArguments:
    """LoRA+: how many times faster the second matrices learn."""

    loraplus_lr_ratio: float | None = None
    loraplus_unet_lr_ratio: float | None = None
    loraplus_text_encoder_lr_ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class LoraFaArguments(ConvArguments):
    """The arguments of networks.lora_fa."""

    dropout: float | None = None
    rank_dropout: float | None = None
    module_dropout: float | None = None
    block_dims: Ranks | None = None
    block_alphas: Numbers | None = None
    conv_block_dims: Ranks | None = None
    conv_block_alphas: Numbers | None = None
    down_lr_weight: str | None = None
    mid_lr_weight: str | None = None
    up_lr_weight: str | None = None
    block_lr_zero_threshold: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LoraArguments(RatioArguments, LoraFaArguments):
    """The arguments of networks.lora."""

    dora_wd: bool = False


@dataclass(frozen=True, kw_only=True)
class DyloraArguments(RatioArguments, ConvArguments):
    """The arguments of networks.dylora. `unit`: how many ranks learn at a time."""

    unit: int = 1


@dataclass(frozen=True, kw_only=True)
class OftArguments:
    """The arguments of networks.oft: what is turned besides the attention."""

    enable_all_linear: bool = False
    enable_conv: bool = False


_NEEDS = {
    "conv_alpha": ("conv_dim", "conv_block_dims"),
    "block_alphas": ("block_dims",),
    "conv_block_alphas": ("conv_block_dims",),
    "block_lr_zero_threshold": ("down_lr_weight", "mid_lr_weight", "up_lr_weight"),
}
"""Arguments that mean nothing without one of others."""


def split_words(words: list[str] | None) -> dict[str, str]:
    """{name: text} of words such as conv_dim=4; the last of two equal names wins. Errors: BadOption."""
    found = {}
    for word in words or []:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not name.isidentifier():
            raise BadOption(_OPTION, f'--{_OPTION} "{word}": write name=value, such as conv_dim=4.')
        found[name] = text
    return found


def read_arguments(kind: type[T], module: str, given: Mapping[str, Any], readers: "Readers | None" = None) -> T:
    """A module's arguments from {name: text}; None and empty mean that it is not given.

    `readers`: those of its own, in place of the ones for our networks. Errors: BadOption.
    """
    present = {name: value for name, value in given.items() if value not in (None, "")}
    known = [field.name for field in fields(cast(Any, kind))]
    for name in present:
        _check_known(name, known, module)
    readers = readers or _READERS
    arguments = kind(**{name: _read(name, value, readers) for name, value in present.items()})
    for name, needed in _NEEDS.items():
        possible = [other for other in needed if other in known]
        if name in present and possible and not any(other in present for other in possible):
            raise BadOption(_OPTION, f"--{_OPTION} {name} does nothing without {' or '.join(possible)}.")
    return arguments


def _check_known(name: str, known: list[str], module: str) -> None:
    if name in known:
        return
    if name == "dropout":
        raise BadOption("network_dropout", f"{module} has no dropout: leave --network_dropout out.")
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]}?" if close else f"It has {', '.join(known)}."
    raise BadOption(_OPTION, f"--{_OPTION} {name}: {module} has no such argument. {hint}")


def _read(name: str, value: Any, readers: "Readers") -> Any:
    reader, what = readers[name]
    try:
        return reader(str(value))
    except ValueError:
        raise BadOption(_OPTION, f"--{_OPTION} {name}={value}: write {what}.") from None


def _whole(text: str) -> int:
    return _checked(int(text), int(text) >= 0)


def _rank(text: str) -> int:
    return _checked(int(text), int(text) >= 1)


def _ranks(text: str) -> Ranks:
    found = tuple(int(part) for part in text.split(","))
    return _checked(found, min(found) >= 0)


def alpha_reader(text: str) -> float:
    """A number, 0 or more. Errors: ValueError."""
    return _checked(float(text), 0 <= float(text) < float("inf"))


def _alphas(text: str) -> Numbers:
    return tuple(alpha_reader(part) for part in text.split(","))


def _share(text: str) -> float:
    return _checked(float(text), 0 <= float(text) < 1)


def _ratio(text: str) -> float:
    return _checked(float(text), 0 < float(text) < float("inf"))


def _switch(text: str) -> bool:
    return _checked(text.lower() in ("true", "1"), text.lower() in ("true", "false", "1", "0"))


def _checked(value: Any, holds: bool) -> Any:
    if not holds:
        raise ValueError
    return value


Readers = dict[str, tuple[Callable[[str], Any], str]]
WHOLE = (_whole, "a whole number, 0 or more")
RANK = (_rank, "a whole number, 1 or more")
SWITCH = (_switch, "True or False")
SHARE = (_share, "a share from 0 to less than 1, such as 0.1")
_RANKS = (_ranks, "a whole number for each block, separated by commas; 0 leaves a block out")
_ALPHAS = (_alphas, "a number for each block, separated by commas")
RATIO = (_ratio, "a number above 0, such as 16")
_READERS: Readers = {
    **dict.fromkeys(("dropout", "rank_dropout", "module_dropout"), SHARE),
    **dict.fromkeys(("block_dims", "conv_block_dims"), _RANKS),
    **dict.fromkeys(("block_alphas", "conv_block_alphas"), _ALPHAS),
    **dict.fromkeys(("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"), RATIO),
    **dict.fromkeys(("down_lr_weight", "mid_lr_weight", "up_lr_weight"), (str, "numbers, or a curve")),
    **dict.fromkeys(("conv_dim", "unit"), RANK),
    "conv_alpha": (alpha_reader, "a number, 0 or more; 0 means the same as conv_dim"),
    "block_lr_zero_threshold": (alpha_reader, "a number, 0 or more"),
    **dict.fromkeys(("dora_wd", "enable_all_linear", "enable_conv"), SWITCH),
}
