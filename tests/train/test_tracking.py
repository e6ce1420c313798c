"""Figures that are kept up to date from step to step."""

import random

import pytest

from sd_scripts.library.train import memory
from sd_scripts.library.train.memory import MemoryGauge
from sd_scripts.library.train.tracking import Recent


def test_the_mean_is_that_of_the_last_losses_however_many_have_come_and_gone():
    losses = [random.Random(1).uniform(0, 10) * 10**power for power in range(-9, 9)] * 50
    recent = Recent(7)
    for loss in losses:
        mean = recent.add(loss)
    assert recent.losses() == losses[-7:]
    assert mean == recent.mean == pytest.approx(sum(losses[-7:]) / 7, rel=1e-15)
    again = Recent(7)
    for loss in losses[-7:]:
        again.add(loss)
    assert again.mean == mean


def test_memory_is_looked_at_now_and_then(monkeypatch):
    now_s, looks = [100.0], []
    monkeypatch.setattr(memory.time, "monotonic", lambda: now_s[0])
    gauge = MemoryGauge()
    monkeypatch.setattr(gauge, "_look", lambda: looks.append(1) or {"memory_bytes": len(looks)})
    assert [gauge.read()["memory_bytes"] for _ in range(3)] == [1, 1, 1]
    now_s[0] += 1
    assert gauge.read()["memory_bytes"] == 2
