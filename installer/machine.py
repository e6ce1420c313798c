"""Questions to the machine. Each answers within seconds and installs nothing."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path


def has_nvidia_gpu() -> bool:
    """Whether the driver's own tool answers and lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        answer = subprocess.run([tool, "--list-gpus"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "GPU" in answer.stdout


def index_answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a package index can be reached from here."""
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/torch/", method="HEAD")
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return bool(reply.status == 200)
    except (OSError, ValueError):
        return False


def offers_own_build(versions_text: str, version: str) -> bool:
    """Whether `pip index versions torch` printed a build of this version that is not the registry's (1.2.3+cpu)."""
    return f"{version}+" in versions_text


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder; 0 where there is none."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def free_bytes(folder: Path) -> int:
    """Space that is left on a folder's disk."""
    return shutil.disk_usage(folder).free
