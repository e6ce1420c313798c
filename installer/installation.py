"""The installation itself: from nothing, or from wherever the last one stopped, to a stamp."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from installer import machine, packages, problems
from installer.environment import Environment
from installer.progress import PipReader, Steps

ROOT = Path(__file__).resolve().parent.parent

# Generous: the environment (about 2 GB, with CUDA libraries far more), and its downloads beside it.
NEEDED_BYTES = {"cpu": 4 * problems.GB, "gpu": 14 * problems.GB}
CHECKED_MODULES = ("torch", "onnxruntime", "cv2", "psutil")


def ensure(root: Path = ROOT, *, test: bool = False) -> Environment:
    """The complete environment. Installs only what is missing; what was chosen stays chosen. Raises SetupError."""
    environment = Environment(root)
    pins = packages.read_pins(root)
    stamp, version = environment.stamp(), environment.version()
    asked = packages.extras_for(has_gpu=False, test=test) - {"cpu"}
    if stamp and version and stamp.covers(pins.fingerprint(_named(version)), asked):
        return environment
    kept = stamp.extras if stamp else packages.extras_for(has_gpu=machine.has_nvidia_gpu())
    return install(root, extras=kept | asked)


def install(
    root: Path = ROOT,
    *,
    extras: packages.Extras,
    index: str | None = None,
    check: Sequence[str] = CHECKED_MODULES,
) -> Environment:
    """Install these extras and everything under them. `index` is where PyTorch comes from. Raises SetupError."""
    environment = Environment(root)
    pins = packages.read_pins(root)
    _check_disk(root, environment, extras)
    steps = Steps(4)
    with steps.step("Python environment in .venv"):
        environment.make()
        environment.remove_stamp()
        environment.remove_half_installed()
        environment.log.unlink(missing_ok=True)
        environment.constraints.write_text(pins.constraints_for(extras), encoding="utf-8")
    with steps.step("PyTorch"):
        _pip(environment, steps, "PyTorch", _torch_args(environment, pins, extras, index))
    with steps.step("The other packages"):
        _remove_unwanted(environment, steps, pins, extras)
        _pip(environment, steps, "The packages", ["install", *pins.requirements(extras)])
    with steps.step("Do they start?"):
        environment.check(check)
    version = environment.version()
    assert version is not None
    environment.write_stamp(packages.Stamp(pins.fingerprint(_named(version)), extras))
    return environment


def _check_disk(root: Path, environment: Environment, extras: packages.Extras) -> None:
    needed = NEEDED_BYTES["gpu" if "gpu" in extras else "cpu"] - machine.folder_bytes(environment.folder)
    if (free := machine.free_bytes(root)) < needed:
        raise problems.disk_full(root, free, needed)


def _torch_args(environment: Environment, pins: packages.Pins, extras: packages.Extras, asked: str | None) -> list[str]:
    version = pins.version_of("torch", extras)
    index = packages.torch_index(
        system=platform.system(),
        extras=extras,
        asked=asked,
        pip_offers_its_own=lambda: machine.offers_own_build(
            environment.answer("-m", "pip", "index", "versions", "torch"), version
        ),
        answers=machine.index_answers,
    )
    installed = environment.answer("-c", "import importlib.metadata as m; print(m.version('torch'))").strip()
    anew = ["--force-reinstall"] if packages.must_replace_torch(installed, extras, asked) else []
    # What torch itself needs comes from pip's usual place, in the pinned versions, with the other packages.
    source = [] if index is None else ["--index-url", index]
    return ["install", *anew, *source, *(["--no-deps"] if anew or source else []), f"torch=={version}"]


def _remove_unwanted(environment: Environment, steps: Steps, pins: packages.Pins, extras: packages.Extras) -> None:
    unwanted = environment.installed(pins.unwanted(extras))
    if not unwanted:
        return
    # The two ONNX runtimes share a folder: removing one breaks the other, so that one is installed afresh.
    runtimes = [*pins.extras["cpu"], *pins.extras["gpu"]]
    also = runtimes if set(unwanted) & set(runtimes) else []
    _pip(environment, steps, "The packages", ["uninstall", "--yes", *environment.installed([*unwanted, *also])])


def _pip(environment: Environment, steps: Steps, what: str, args: list[str]) -> None:
    reader = PipReader()

    def on_line(line: str) -> None:
        if news := reader.read(line):
            steps.detail(news)

    verb, *rest = args
    constraints = ["--constraint", str(environment.constraints)] if verb == "install" else []
    environment.pip([verb, *constraints, *rest], what=what, on_line=on_line)


def _named(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
