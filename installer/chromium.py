"""A Chromium for the browser tests: the one that is there, or one that apt can bring."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

from installer.problems import SetupError
from sd_scripts.library import systems


def provide(environ: Mapping[str, str] = os.environ, *, find: Callable[[str], str | None] = shutil.which) -> str:
    """Path of a Chromium or Chrome, installed by apt where that works. Raises SetupError."""
    if named := environ.get("CHROMIUM_PATH"):
        if found := find(named):
            return found
        raise SetupError(f"CHROMIUM_PATH names {named}, which is no program. Name Chromium or Chrome, or unset it.")
    if found := _first(find):
        return found
    if find("apt-get") and _may_install():
        print("Installing Chromium with apt, for the browser tests", flush=True)
        _run(["apt-get", "update"])
        _run(["apt-get", "install", "-y", "--no-install-recommends", "chromium"])
        if found := _first(find):
            return found
    raise SetupError(
        "The browser tests need Chromium or Chrome, and none was found: install one, "
        "or name its program in the environment variable CHROMIUM_PATH."
    )


def _first(find: Callable[[str], str | None]) -> str | None:
    return next((path for place in systems.chromium_places() if (path := find(place))), None)


def _may_install() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _run(argv: Sequence[str]) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(list(argv), env=env, capture_output=True)
