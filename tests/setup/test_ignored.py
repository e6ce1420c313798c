"""What git leaves alone in a checkout."""

import shutil
import subprocess
from pathlib import Path

import pytest

IGNORED = Path(__file__).parents[2] / ".gitignore"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed.")
def test_an_environment_that_is_a_link_is_no_change(tmp_path):
    shutil.copy(IGNORED, tmp_path / ".gitignore")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".venv").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    told = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["??", ".gitignore"]
