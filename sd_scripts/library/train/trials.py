"""Trials of a training's settings, each in a process of its own: memory that runs out there harms nobody here.

Needs no torch: what is computed on is asked of tools/try_steps.py, too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from sd_scripts.library import systems
from sd_scripts.library.errors import BadFile, StoppedAsAsked
from sd_scripts.library.events import CONTROL_VARIABLE, EVENTS_VARIABLE
from sd_scripts.library.train.fit import Trial, Values, changed
from sd_scripts.options.spec import flat_values, option_specs
from sd_scripts.options.values import to_argv

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "try_steps.py"
_LOOK_EVERY_S = 0.1
_LAST_LINES = 12
_RUNS_OWN = (EVENTS_VARIABLE, CONTROL_VARIABLE)


@dataclass(frozen=True)
class Device:
    """What is trained on: cpu or cuda, its name, and the bytes that there are for a training."""

    kind: str
    name: str
    memory_bytes: float


def device_here() -> Device:
    """The device that a training would take. Errors: BadFile, where its process fails."""
    told = _Child([]).result()
    if told is None:
        raise BadFile(f"{PROGRAM} cannot tell what it computes on. Look at its words above.")
    return Device(told["device"], told["name"], told["memory_bytes"])


@dataclass
class Trials:
    """Tries settings of one training; `limit_bytes`: what they may take; `stopped`: whether a stop was asked for."""

    script: str
    options: Any
    steps: int
    limit_bytes: float
    device: Device
    stopped: Callable[[], bool]

    def __call__(self, values: Values) -> Trial:
        """Real steps with some settings changed. Memory that runs out is a result. Errors: StoppedAsAsked."""
        with _room() as folder:
            argv = to_argv(type(self.options), _told(changed(self.options, values)))
            asked = [self.script, "--steps", str(self.steps), "--memory_gb", repr(self.limit_bytes / 1e9)]
            child = _Child([*asked, "--room", folder, "--", *argv])
            on_gpu = self.device.kind == "cuda"
            told = child.result(None if on_gpu else self.limit_bytes, self.stopped)
        # Ctrl+C reaches it as well: then it has ended without a result, whatever it said.
        if told is None and self.stopped():
            raise StoppedAsAsked("Stopped as asked, while settings were tried.")
        if told is None and not child.ran_short:
            return Trial(values, None, failed=child.last_words())
        if told is None:
            # What was seen of it is RAM, and no figure of a GPU.
            return Trial(values, None, peak_bytes=None if on_gpu else child.peak_bytes or None, cut=True)
        fits = told["fits"] and told["peak_bytes"] <= self.limit_bytes
        step_s = told["step_s"] if told["fits"] else None
        return Trial(values, None, step_s, told["peak_bytes"], fits, cut=not told["fits"])


class _Child:
    """A process of try_steps.py."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self.peak_bytes = 0.0
        self.ran_short = False
        self._code = 0
        self._words = ""

    def result(
        self, limit_bytes: float | None = None, stopped: Callable[[], bool] = lambda: False
    ) -> dict[str, Any] | None:
        """What it tells; None where it ended without. It is ended where its memory passes a limit, and by a stop."""
        with _room() as folder:
            file, words = Path(folder) / "result.json", Path(folder) / "words.txt"
            with open(words, "wb") as out:
                # What it tells and is asked is not the run's; what it may reach and load is.
                own = {name: value for name, value in os.environ.items() if name not in _RUNS_OWN}
                process = subprocess.Popen(
                    [sys.executable, str(PROGRAM), "--result", str(file), *self._argv], stdout=out, stderr=out, env=own
                )
                try:
                    self._watch(process, limit_bytes, stopped)
                finally:
                    _end(process)
            self._code = process.returncode
            self._words = words.read_text(encoding="utf-8", errors="replace")
            if file.exists():
                return dict(json.loads(file.read_text(encoding="utf-8")))
            # The system ends a process for which it has no memory, and so does a limit.
            self.ran_short |= self._code in (-9, 137)
            return None

    def last_words(self) -> str:
        """The end of what it said; how it ended, where it said nothing."""
        lines = [line for line in self._words.splitlines() if line.strip()]
        errors = [line.partition("Error: ")[2] for line in lines if "Error: " in line]
        return (errors[-1] if errors else "\n".join(lines[-_LAST_LINES:])) or f"it ended with code {self._code}"

    def _watch(self, process: subprocess.Popen[bytes], limit_bytes: float | None, stopped: Callable[[], bool]) -> None:
        while process.poll() is None and not stopped():
            self.peak_bytes = max(self.peak_bytes, _memory_of(process.pid))
            if limit_bytes is not None and self.peak_bytes > limit_bytes:
                self.ran_short = True
                return
            time.sleep(_LOOK_EVERY_S)


def _memory_of(pid: int) -> float:
    """What a process and those that it started hold."""
    try:
        process = psutil.Process(pid)
        return float(sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]))
    except psutil.Error:
        return 0.0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it with those that it started, and waits for them: they hold files in its folder."""
    living = systems.identify(process.pid) if process.poll() is None else None
    if living:
        with suppress(psutil.Error):
            systems.stop_tree(living, grace_s=0.0)
        process.kill()
    process.wait()


def _room() -> tempfile.TemporaryDirectory[str]:
    """A folder for a trial. Windows removes no file that a process still holds: then it stays, and nothing fails."""
    return tempfile.TemporaryDirectory(prefix="fit-memory-", ignore_cleanup_errors=True)


def _told(options: Any) -> dict[str, Any]:
    """The options for a command line; the file that they came from is read already.

    Without secrets, which everyone here could read there: uploads and logs need them, and trials have neither.
    """
    own, specs = ("config_file", "output_config"), option_specs(cast(type, type(options)))
    return {flag: value for flag, value in flat_values(options).items() if flag not in own and not specs[flag].secret}
