"""Twelve kills of real programs: `python -m benchmarks.crashes` makes two hundred."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("training", "merging", "presets", "caching", "editing texts", "queue", "tagging JSON")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="programs are started as forks, which this system lacks")
def test_after_twelve_kills_everything_went_on_and_nothing_was_damaged_or_lost(tmp_path):
    argv = [sys.executable, "-m", "benchmarks.crashes", "--kills", "12", "--seed", "1", "--kinds", *KINDS]
    ended = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    kills, during, went_on, *bad = [
        int(cell) for cell in ended.stdout.split("| all |")[1].splitlines()[0].split("|")[:6]
    ]
    assert kills == went_on == 12 and during >= 3 and bad == [0, 0, 0]


def test_a_file_that_is_cut_short_would_be_found(tmp_path):
    """The looking itself: it must not pass whatever it sees."""
    from benchmarks.crash.kind import damaged_files
    from sd_scripts.library.io.atomic import write_json

    write_json(tmp_path / "a.json", {"a": 1})
    assert damaged_files(tmp_path) == []
    (tmp_path / "b.json").write_text('{"a": ')
    (tmp_path / "c.safetensors").write_bytes(b"12345678")
    (tmp_path / "d.npz").write_bytes(b"PK")
    (tmp_path / "e.jsonl").write_text('{"event":"start"}\nhalf\n')
    assert sorted(words.partition(":")[0] for words in damaged_files(tmp_path)) == [
        "b.json",
        "c.safetensors",
        "d.npz",
        "e.jsonl",
    ]
