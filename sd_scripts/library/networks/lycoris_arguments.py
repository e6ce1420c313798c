"""The arguments of LyCORIS's networks, --network_module lycoris.kohya: which there are, and which algorithm uses them.
Needs no torch. Source: the package's own table of algorithms, and its docs/Network-Args.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sd_scripts.library.errors import BadOption
from sd_scripts.library.networks.arguments import (
    RANK,
    RATIO,
    SHARE,
    SWITCH,
    WHOLE,
    RatioArguments,
    Readers,
    alpha_reader,
    read_arguments,
)

MODULE = "lycoris.kohya"
_OPTION = "network_args"
LORAS = frozenset({"lora", "locon"})
PRODUCTS = LORAS | {"loha", "lokr"}
TURNS = frozenset({"diag-oft", "boft"})
ALGOS = (*sorted(PRODUCTS | TURNS), "dylora", "full", "glora", "ia3")
WITHOUT_NORMS = frozenset({"full", "ia3"})
"""Algorithms that scale_weight_norms does not reach."""


@dataclass(frozen=True, kw_only=True)
class LycorisArguments(RatioArguments):
    """The arguments of lycoris.kohya that mean something for Stable Diffusion."""

    algo: str = "lora"
    preset: str = "full"
    conv_dim: int | None = None
    conv_alpha: float | None = None
    dropout: float = 0.0
    rank_dropout: float = 0.0
    module_dropout: float = 0.0
    train_norm: bool = False
    use_tucker: bool = False
    use_cp: bool = False
    use_conv_cp: bool = False
    disable_conv_cp: bool = True
    use_scalar: bool = False
    dora_wd: bool = False
    wd_on_output: bool = True
    bypass_mode: bool = False
    rs_lora: bool = False
    block_size: int = 4
    constraint: float = 0.0
    constrain: float = 0.0
    rescaled: bool = False
    factor: int = -1
    decompose_both: bool = False
    full_matrix: bool = False
    unbalanced_factorization: bool = False

    @property
    def tucker(self) -> bool:
        """Whether convolutions are divided further, under any of the names that this has had."""
        return self.use_tucker or self.use_cp or self.use_conv_cp or not self.disable_conv_cp


_USED_BY: dict[str, frozenset[str]] = {
    **dict.fromkeys(("use_tucker", "use_cp", "use_conv_cp", "disable_conv_cp", "rs_lora"), PRODUCTS | {"glora"}),
    **dict.fromkeys(("use_scalar", "dora_wd", "wd_on_output"), PRODUCTS),
    **dict.fromkeys(("factor", "decompose_both", "full_matrix", "unbalanced_factorization"), frozenset({"lokr"})),
    **dict.fromkeys(("constraint", "constrain", "rescaled"), TURNS),
    **dict.fromkeys(("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"), LORAS),
    **dict.fromkeys(("conv_alpha",), frozenset(ALGOS) - TURNS - {"full", "ia3"}),
    "conv_dim": frozenset(ALGOS) - {"full", "ia3"},
    "bypass_mode": frozenset(ALGOS) - {"full"},
    "block_size": frozenset({"dylora"}),
}
"""Arguments that only some algorithms use."""

_READERS: Readers = {
    **{field.name: SWITCH for field in fields(LycorisArguments) if field.type is bool},
    **dict.fromkeys(("dropout", "rank_dropout", "module_dropout"), SHARE),
    **dict.fromkeys(("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"), RATIO),
    **dict.fromkeys(("constraint", "constrain", "conv_alpha"), (alpha_reader, "a number, 0 or more")),
    "algo": (str.lower, "the name of an algorithm"),
    "preset": (str, "the name of a preset, or a TOML file"),
    "conv_dim": WHOLE,
    "block_size": RANK,
    "factor": (int, "a whole number, or -1"),
}


def read_lycoris(given: Mapping[str, Any]) -> LycorisArguments:
    """The arguments from {name: text}. Errors: BadOption."""
    asked = read_arguments(LycorisArguments, MODULE, given, _READERS)
    if asked.algo == "norm":
        raise BadOption(_OPTION, f"--{_OPTION} algo=norm: norms are trained beside another algorithm: train_norm=True.")
    if asked.algo not in ALGOS:
        raise BadOption(_OPTION, f"--{_OPTION} algo={asked.algo}: there are {', '.join(ALGOS)}.")
    return asked


def check_rank(asked: LycorisArguments, rank: int) -> None:
    """DyLoRA's ranks are divided evenly. Errors: BadOption."""
    ranks = {rank, rank if asked.conv_dim is None else asked.conv_dim}
    if asked.algo == "dylora" and any(one % asked.block_size for one in ranks):
        sentence = f"algo=dylora needs ranks that are multiples of block_size, which is {asked.block_size}"
        raise BadOption(_OPTION, f"--{_OPTION} {sentence}.")


def unused(given: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each argument that the algorithm does not use."""
    asked, usual = read_lycoris(given), LycorisArguments()
    for name in given:
        used_by = _USED_BY.get(name)
        if used_by and asked.algo not in used_by and getattr(asked, name) != getattr(usual, name):
            users = ", ".join(sorted(used_by))
            yield f"--network_args {name} is not used: algo={asked.algo} has no such thing, but {users}."
