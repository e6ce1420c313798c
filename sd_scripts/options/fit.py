"""Options of fit_memory.py and try_steps.py: which training, in how much memory. The training's own come after them."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sd_scripts.options.output import ConsoleOptions
from sd_scripts.options.spec import PathTo, Range, Unit, place

Training = Literal[
    "fine_tune.py", "train_db.py", "train_network.py", "train_textual_inversion.py", "train_hypernetwork.py",
    "sdxl_train.py", "sdxl_train_network.py", "sdxl_train_textual_inversion.py",
]  # fmt: skip

Freedom = Literal["precision", "clipping", "optimizer"]


@dataclass(kw_only=True)
class FitSearchOptions:
    """What is tried, and how long."""

    training: Training = "fine_tune.py"
    """The script whose training is to fit. Its own options stand after a --, as on its command line."""

    memory_gb: Annotated[float | None, Range(low=0.1), Unit("GB")] = None
    """The memory that it may take. Empty: all of the GPU, or without one what is free of the machine's."""

    also: list[Freedom] | None = None
    """What may change besides: precision (bf16), clipping (fused_backward_pass clips each gradient), optimizer (8 bit).

    Empty: precision. Whatever is chosen, a step learns from as many pictures as before."""

    steps: Annotated[int, Range(low=1, high=1000), Unit("steps")] = 3
    """Steps of each trial that are measured, after two that are not."""

    most: Annotated[int, Range(low=1, high=1000)] = 12
    """Trials at most."""

    output: Annotated[str | None, PathTo("file")] = None
    """TOML file for the training's options with those that were found, for --config_file. Empty: none is written."""


@dataclass(kw_only=True)
class FitOptions:
    """Finds the fastest settings of a training that fit into the memory, by real steps of it."""

    search: FitSearchOptions = field(default_factory=FitSearchOptions)
    console: ConsoleOptions = field(default_factory=ConsoleOptions)


@dataclass(kw_only=True)
class TryOptions:
    """Real steps of a training: how long each takes, and how much memory. Without a script: what there is to train on.

    Prints a line of JSON. Nothing of the training is kept.
    """

    script: Annotated[Training | None, *place("script")] = None
    """The script whose training is tried. Its own options stand after a --, as on its command line."""

    steps: Annotated[int, Range(low=1, high=1000), Unit("steps")] = 3
    """Steps to measure, after two that are not."""

    memory_gb: Annotated[float | None, Range(low=0.1), Unit("GB")] = None
    """A GPU has no more than this. Not without one: there fit_memory.py ends what takes more. Empty: all of it."""

    room: Annotated[str | None, PathTo("folder")] = None
    """Folder for what a training may write meanwhile. Empty: the system's temporary one."""

    result: Annotated[str | None, PathTo("file")] = None
    """Also write the figures to this file."""
