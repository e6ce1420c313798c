"""The benchmark of several processes runs where there are several, and says so where there are not."""

import torch

from benchmarks import several
from benchmarks.rows import Given, tell


def test_two_processes_are_put_beside_one(tmp_path):
    rows = several.measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert [(row.what, row.unit) for row in rows] == [("full fine-tune, a step", "s"), ("latents, a picture", "ms")]
    for row in rows:
        assert row.ours > 0 and row.bare > 0 and row.ratio == row.ours / row.bare
        assert row.goal is None and row.note == "2 processes beside one"


def test_one_gpu_misses_no_goal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    rows = several.measure(Given("cuda", quick=False, rounds=1, room=tmp_path))
    assert rows == [] and tell(rows, {}, None) == 0
    assert "only one can be used here: nothing is measured" in capsys.readouterr().out
