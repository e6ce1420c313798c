"""What can go wrong while setting up, each in a sentence that says what would help."""

from __future__ import annotations

import re
from pathlib import Path

GB = 1_000_000_000


class SetupError(Exception):
    """Setting up cannot go on. The message is for the user; `details` is another program's own text."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def no_venv_module(python: str, version: tuple[int, int]) -> SetupError:
    return SetupError(
        f"This Python ({python}) cannot make virtual environments, because its parts venv and ensurepip are missing. "
        f"On Debian and Ubuntu install them with: sudo apt install python{version[0]}.{version[1]}-venv - "
        "then run the same command again."
    )


def disk_full(folder: Path, free_bytes: int, needed_bytes: int) -> SetupError:
    return SetupError(
        f"The disk of {folder} has {free_bytes / GB:.1f} GB free, and the installation needs "
        f"{needed_bytes / GB:.1f} GB. Free some space, or move the project to a larger disk, "
        "then run the same command again."
    )


def disk_filled_up() -> SetupError:
    return SetupError(f"The installation stopped: {_DISK_FULL}")


def pip_failed(what: str, output: str) -> SetupError:
    """Why pip could not install `what`, as far as its output tells."""
    sentence = next(
        (sentence for pattern, sentence in _PIP_SENTENCES if re.search(pattern, output)),
        "pip's own words stand above.",
    )
    return SetupError(f"{what} could not be installed: {sentence}", details="\n".join(output.splitlines()[-25:]))


_AGAIN = "then run the same command again."
_DISK_FULL = f"the disk is full. Free some space for this folder, the temporary folder and pip's cache, {_AGAIN}"
_PIP_SENTENCES = (
    (
        r"No space left on device|Errno 28|WinError 112",
        _DISK_FULL,
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "the package index's certificate was not accepted. Behind a company proxy, tell pip its certificate with: "
        "pip config set global.cert FILE - " + _AGAIN,
    ),
    (
        r"NewConnectionError|ConnectTimeout|NameResolutionError|name resolution|Read timed out|ProxyError|Max retries"
        r"|Connection (refused|reset|aborted)|getaddrinfo failed|IncompleteRead",
        "the package index could not be reached. Check the network, or pip's index and proxy settings, " + _AGAIN,
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|has an invalid wheel",
        "a download arrived damaged. Empty pip's cache with: pip cache purge - " + _AGAIN,
    ),
    (
        r"Permission denied|Errno 13|WinError 5\b",
        "a file may not be written. Close programs that use the project and check who owns its folder, " + _AGAIN,
    ),
    (
        r"No matching distribution found|ResolutionImpossible",
        "pip's index does not offer this version for this system and Python. If your pip is configured to use "
        "an index of its own, check that it has the package named above, " + _AGAIN,
    ),
)
