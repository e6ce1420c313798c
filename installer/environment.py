"""The virtual environment: made, filled, repaired, and known to be complete by its stamp."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from installer import packages, problems
from sd_scripts.library import systems

SUPPORTED = ((3, 11), (3, 12))


@dataclass(frozen=True)
class _Facts:
    version: tuple[int, int]
    site: Path
    """The site-packages folder."""


@dataclass(frozen=True)
class Environment:
    """The environment of the project that lies in `root`."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return systems.venv_python(self.folder)

    @property
    def log(self) -> Path:
        """All that pip said during the last installation."""
        return self.folder / "install.log"

    @property
    def constraints(self) -> Path:
        """The constraints that the last installation used."""
        return self.folder / "constraints.txt"

    @property
    def _stamp(self) -> Path:
        return self.folder / "installed.json"

    def stamp(self) -> packages.Stamp | None:
        """The stamp of a complete installation, or None."""
        try:
            return packages.stamp_from_text(self._stamp.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def write_stamp(self, stamp: packages.Stamp) -> None:
        """Say that the installation is complete."""
        beside = self._stamp.with_suffix(".new")
        beside.write_text(packages.stamp_to_text(stamp), encoding="utf-8")
        beside.replace(self._stamp)

    def remove_stamp(self) -> None:
        """From now on, and until the stamp is written again, the installation counts as unfinished."""
        self._stamp.unlink(missing_ok=True)

    def version(self) -> tuple[int, int] | None:
        """Version of the environment's Python; None where there is none that runs."""
        facts = self._facts()
        return None if facts is None else facts.version

    def make(self) -> None:
        """Make the environment where there is none that works. Raises SetupError."""
        if self.version() in SUPPORTED and self._run("-m", "pip", "--version").returncode == 0:
            return
        if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
            raise problems.no_venv_module(sys.executable, sys.version_info[:2])
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(self.folder)],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if made.returncode != 0:
            raise problems.pip_failed("The Python environment", made.stdout + made.stderr)

    def remove_half_installed(self) -> None:
        """Forget packages that pip was interrupted in, so that it installs them again."""
        facts = self._facts()
        if facts is None:
            return
        # pip writes INSTALLER after a package's own files; names with ~ are what it had moved out of the way.
        halves = [info for info in facts.site.glob("*.dist-info") if not (info / "INSTALLER").is_file()]
        for leftover in [*halves, *facts.site.glob("~*")]:
            shutil.rmtree(leftover, ignore_errors=True)

    def installed(self, names: Sequence[str]) -> list[str]:
        """Those of these packages that are installed."""
        code = (
            "import importlib.metadata as m, json, sys\n"
            "there = {d.metadata['Name'].lower().replace('_', '-') for d in m.distributions()}\n"
            "print(json.dumps([n for n in sys.argv[1:] if n in there]))"
        )
        answer: list[str] = json.loads(self._run("-c", code, *names).stdout)
        return answer

    def pip(self, args: Sequence[str], *, what: str, on_line: Callable[[str], None]) -> None:
        """Run pip, its text going to the log and line by line to `on_line`. Raises SetupError when it fails."""
        argv = [str(self.python), "-m", "pip", *args, "--no-input", "--disable-pip-version-check"]
        env = os.environ | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PIP_PROGRESS_BAR": "off", "PIP_NO_COLOR": "1"}
        said = []
        with (
            self.log.open("a", encoding="utf-8", buffering=1) as log,
            subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, encoding="utf-8", errors="replace"
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                said.append(line)
                on_line(line)
        if process.returncode != 0:
            raise problems.pip_failed(what, "".join(said))

    def answer(self, *args: str) -> str:
        """What the environment's Python prints; empty where it fails."""
        return self._run(*args).stdout

    def check(self, modules: Sequence[str]) -> None:
        """Import these modules, as the project will. Raises SetupError with Python's words."""
        tried = self._run("-c", "".join(f"import {name}\n" for name in modules))
        if tried.returncode != 0:
            raise problems.SetupError(
                "All packages are installed, but they do not start here; Python's own words stand above.",
                details=tried.stderr.strip(),
            )

    def _facts(self) -> _Facts | None:
        code = "import json, sys, sysconfig as s; print(json.dumps([*sys.version_info[:2], s.get_path('purelib')]))"
        try:
            major, minor, site = json.loads(self._run("-c", code).stdout)
        except (OSError, ValueError):
            return None
        return _Facts((major, minor), Path(site))

    def _run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *args], capture_output=True, text=True, encoding="utf-8", errors="replace"
        )
