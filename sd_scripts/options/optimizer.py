"""Options of the optimizer and of the learning rate."""

import difflib
from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import Range, Unit

OPTIMIZER_GROUPS: dict[str, tuple[str, ...]] = {
    "usual": ("AdamW", "Lion", "AdaFactor", "SGDNesterov"),
    "low_memory": (
        "AdamW8bit", "PagedAdamW8bit", "PagedAdamW", "PagedAdamW32bit", "Adam8bit", "PagedAdam8bit", "PagedAdam",
        "PagedAdam32bit", "Lion8bit", "PagedLion8bit", "PagedLion", "PagedLion32bit", "AdEMAMix8bit",
        "PagedAdEMAMix8bit", "PagedAdEMAMix", "Adagrad8bit", "LAMB8bit", "LARS8bit", "RMSprop8bit", "SGDNesterov8bit",
    ),
    "own_rate": (
        "Prodigy", "DAdaptation", "DAdaptAdamPreprint", "DAdaptAdam", "DAdaptAdaGrad", "DAdaptAdan", "DAdaptAdanIP",
        "DAdaptLion", "DAdaptSGD",
    ),
    "schedule_free": ("AdamWScheduleFree", "RAdamScheduleFree", "SGDScheduleFree"),
    "torch": ("Adam", "Adagrad", "Adadelta", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
    "more": (
        "CAME", "Ranger", "Ranger21", "A2Grad", "AccSGD", "AdaBelief", "AdaBound", "AdaGC", "AdaGO", "Adai", "Adalite",
        "AdamC", "AdamG", "AdaMod", "AdamP", "AdamS", "AdaMuon", "AdamWSN", "Adan", "AdaNorm", "AdaPNM",
        "AdaSmooth", "AdaTAM", "AdEMAMix", "ADOPT", "AggMo", "Aida", "Alice", "Amos", "Ano", "APOLLO", "ApolloDQN",
        "AvaGrad", "BCOS", "Conda", "DASH", "DiffGrad", "DualAdam", "EmoFact", "EmoLynx", "EmoNavi", "EXAdam", "FAdam",
        "Fira", "FlashAdamW", "FOCUS", "Fromage", "FTRL", "GaLore", "Grams", "Gravity", "GrokFastAdamW", "Kate", "Kron",
        "Lamb", "LaProp", "LARS", "MADGRAD", "Magma", "MARS", "MSVAG", "Muon", "MuonClip", "Nero", "NorMuon",
        "NovoGrad", "PAdam", "PID", "PNM", "QHAdam", "QHM", "RACS", "ROSE", "SaRA", "ScalableShampoo",
        "ScheduleFreeAdamW", "ScheduleFreeRAdam", "ScheduleFreeSGD", "SCION", "SCIONLight", "SGDP", "SGDSaI", "SGDW",
        "Shampoo", "SignSGD", "SimplifiedAdEMAMix", "SM3", "SOAP", "SPAM", "SRMM", "StableAdamW", "StableSPAM", "SWATS",
        "TAM", "Tiger", "VSGD", "Yogi",
    ),
}  # fmt: skip
"""The optimizers that are known by a short name, in groups; any other is named by its class with its module."""

OPTIMIZERS = tuple(name for names in OPTIMIZER_GROUPS.values() for name in names)
"""All of them."""

STATES: dict[str, int] = {
    "AdaFactor": 0, "SGD": 0,
    "Lion": 1, "PagedLion": 1, "PagedLion32bit": 1, "SGDNesterov": 1, "Adagrad": 1, "RMSprop": 1, "SGDScheduleFree": 1,
    "Lion8bit": 1, "PagedLion8bit": 1, "SGDNesterov8bit": 1, "RMSprop8bit": 1, "Adagrad8bit": 1, "LARS8bit": 1,
    "AdamW": 2, "Adam": 2, "NAdam": 2, "RAdam": 2, "Adamax": 2, "AdamWScheduleFree": 2, "RAdamScheduleFree": 2,
    "PagedAdam": 2, "PagedAdamW": 2, "PagedAdam32bit": 2, "PagedAdamW32bit": 2,
    "Adam8bit": 2, "AdamW8bit": 2, "PagedAdam8bit": 2, "PagedAdamW8bit": 2, "LAMB8bit": 2,
    "DAdaptAdam": 3, "Prodigy": 4,
}  # fmt: skip
"""{optimizer: numbers that it remembers for each weight}. AdaFactor keeps sums of rows and columns: next to nothing."""

_WARMUP = "lr_warmup_steps"
_ARGUMENTS = "lr_scheduler_args"
SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": (_WARMUP,),
    "constant_with_warmup": (_WARMUP,),
    "linear": (_WARMUP,),
    "cosine": (_WARMUP, _ARGUMENTS),
    "cosine_with_restarts": (_WARMUP, "lr_scheduler_num_cycles"),
    "cosine_with_min_lr": (_WARMUP, "lr_scheduler_min_lr_ratio", "lr_scheduler_num_cycles", _ARGUMENTS),
    "polynomial": (_WARMUP, "lr_scheduler_power", _ARGUMENTS),
    "inverse_sqrt": (_WARMUP, "lr_scheduler_timescale"),
    "warmup_stable_decay": (
        _WARMUP, "lr_decay_steps", "lr_scheduler_min_lr_ratio", "lr_scheduler_num_cycles", _ARGUMENTS,
    ),
    "piecewise_constant": (_ARGUMENTS,),
    "adafactor": (),
}  # fmt: skip
"""All schedules of the learning rate, each with the options that it reads."""


def optimizers_like(asked: str) -> list[str]:
    """Names that may have been meant: those that contain what was asked for, or are spelt nearly so; at most 3."""
    by_lower = {name.lower(): name for name in OPTIMIZERS}
    containing = [name for name in by_lower if asked.lower() in name]
    near = containing or difflib.get_close_matches(asked.lower(), by_lower, n=3, cutoff=0.5)
    return [by_lower[name] for name in near[:3]]


def finds_its_rate(optimizer: str) -> bool:
    """Whether an optimizer multiplies the learning rate by a factor that it finds itself: it wants about 1."""
    name = optimizer.rpartition(".")[2].lower()
    return name.startswith("dadapt") or name == "prodigy"


def is_schedule_free(optimizer: str) -> bool:
    """Whether an optimizer averages weights in place of a falling learning rate."""
    return "schedulefree" in optimizer.rpartition(".")[2].lower()


@dataclass(kw_only=True)
class OptimizerOptions:
    """How gradients change the weights."""

    learning_rate: Annotated[float, Range(low=0.0)] = 2e-6
    """Learning rate of everything that is trained and has no rate of its own."""

    optimizer_type: str = ""
    """Optimizer: AdamW (if empty), AdamW8bit, Lion, AdaFactor, Prodigy or another by name, or module.Class."""

    use_8bit_adam: bool = False
    """The same as optimizer_type AdamW8bit: less memory."""

    use_lion_optimizer: bool = False
    """The same as optimizer_type Lion."""

    optimizer_args: list[str] | None = None
    """Further arguments of the optimizer, such as weight_decay=0.01 betas=0.9,0.999."""

    max_grad_norm: Annotated[float, Range(low=0.0, zero="no clipping")] = 1.0
    """Gradients are scaled down to this norm. 0: never."""


@dataclass(kw_only=True)
class ScheduleOptions:
    """How the learning rate changes."""

    lr_scheduler: str = "constant"
    """Schedule: constant, linear, cosine, polynomial, inverse_sqrt or another of those in docs/options.md."""

    lr_scheduler_type: str = ""
    """A scheduler class in place of lr_scheduler: a name of torch.optim.lr_scheduler, or module.Class."""

    lr_scheduler_args: list[str] | None = None
    """Further arguments of the schedule or scheduler class, such as T_max=100 or step_rules=1:100,0.1."""

    lr_warmup_steps: Annotated[int | float, Range(low=0)] = 0
    """Steps over which the learning rate rises from 0; below 1, or with %, a share of all steps."""

    lr_decay_steps: Annotated[int | float, Range(low=0)] = 0
    """Steps over which warmup_stable_decay falls at the end; below 1, or with %, a share of all steps."""

    lr_scheduler_num_cycles: Annotated[int, Range(low=1)] = 1
    """Waves of cosine_with_restarts, cosine_with_min_lr and warmup_stable_decay."""

    lr_scheduler_power: Annotated[float, Range(low=0.0)] = 1
    """Power of polynomial."""

    lr_scheduler_timescale: Annotated[int | None, Range(low=1), Unit("steps")] = None
    """Slowness of inverse_sqrt. Empty: the warm-up steps, or 10,000 without a warm-up."""

    lr_scheduler_min_lr_ratio: Annotated[float | None, Range(low=0.0, high=1.0)] = None
    """Lowest rate of cosine_with_min_lr and warmup_stable_decay, as a share of the learning rate. Empty: 0."""
