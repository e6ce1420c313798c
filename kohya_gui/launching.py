"""On which GPUs and in how many processes a stage runs: options of its launcher, beside those of its script."""

import dataclasses
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from sd_scripts.options.spec import Range, option_specs


@dataclass(kw_only=True)
class LaunchOptions:
    """What accelerate is told. Where nothing is given, the script is started without it."""

    gpu_ids: str | None = None
    """Numbers of the GPUs to use, with commas between: 0,1. Empty: the first, or as many as there are processes."""

    num_processes: Annotated[int | None, Range(low=1, high=1024)] = None
    """Processes that work together, on all machines: usually one for each GPU. Empty: one for each GPU named."""

    main_process_port: Annotated[int | None, Range(low=1, high=65535)] = None
    """Port by which the processes find each other. Empty: one that is free."""

    num_cpu_threads_per_process: Annotated[int | None, Range(low=1, high=1024)] = None
    """Threads of each process for the work of the CPU. Empty: chosen by PyTorch, or 1 where there are several."""

    num_machines: Annotated[int, Range(low=1, high=1024)] = 1
    """Machines that work together; the same is started on each of them."""

    machine_rank: Annotated[int, Range(low=0, high=1023)] = 0
    """Which of them this one is, counted from 0."""

    main_process_ip: str | None = None
    """Address of machine 0."""


LAUNCH = str(Path(__file__).resolve().parents[1] / "sd_scripts" / "launch.py")
"""accelerate's launcher, with stop signals that reach all processes."""
SETTINGS = Path(__file__).with_name("launching.yaml")
"""What accelerate is told besides: this machine, and nothing of its own."""

FLAGS = frozenset(option_specs(LaunchOptions))
"""The launcher's options, which no script takes."""
FIELDS = " ".join(option_specs(LaunchOptions))
"""The same, as layouts name them."""


@functools.cache
def with_launcher(options_class: type) -> type:
    """The options of a script, and those of its launcher."""
    launch = ("launch", LaunchOptions, dataclasses.field(default_factory=LaunchOptions))
    return dataclasses.make_dataclass(
        f"Launched{options_class.__name__}", [launch], bases=(options_class,), kw_only=True
    )


def split_values(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(values of the launcher, values of the script)."""
    ours = {flag: value for flag, value in values.items() if flag in FLAGS}
    return ours, {flag: value for flag, value in values.items() if flag not in FLAGS}


def gpus_named(gpu_ids: str | None) -> list[int]:
    """The numbers of GPUs that a text names; none where it names none, or is no list of numbers."""
    words = [word.strip() for word in (gpu_ids or "").split(",") if word.strip()]
    return [int(word) for word in words] if all(word.isdecimal() for word in words) else []


def processes(values: dict[str, Any]) -> int:
    """How many processes work together."""
    return int(values.get("num_processes") or len(gpus_named(values.get("gpu_ids"))) or values.get("num_machines") or 1)


def launcher(values: dict[str, Any]) -> list[str]:
    """The words before the script: the interpreter, and accelerate where it is told anything.

    It is given a few options of its own, each with its value in one word, so that none can start another program; and
    settings in place of those in the user's home. -P: the working folder is no place for modules.
    """
    given = {flag: value for flag, value in values.items() if flag in FLAGS and value is not None}
    if not given:
        return [sys.executable]
    several = processes(given) > 1
    told = given | {"num_processes": processes(given), "num_machines": given.get("num_machines", 1)}
    words = [f"--{flag}={str(value).replace(' ', '')}" for flag, value in told.items()]
    # What the script decides itself; the rest would be asked for by warnings. What it says of its end is enough.
    fixed = ["--mixed_precision=no", "--dynamo_backend=no", f"--config_file={SETTINGS}", "--quiet"]
    return [sys.executable, LAUNCH, *(["--multi_gpu"] if several else []), *words, *fixed]
