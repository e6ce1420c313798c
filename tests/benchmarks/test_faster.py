"""The benchmarks of ways to train faster work: what they measure, not how fast it is."""

from dataclasses import replace

import pytest
import torch

from benchmarks import faster, published
from benchmarks.rows import Given
from benchmarks.trainings import Training, differences


@pytest.fixture
def given(tmp_path):
    return Given("cpu", quick=True, rounds=1, room=tmp_path)


def test_each_switch_has_seconds_memory_and_what_it_does_to_the_loss(given):
    rows = faster.measure(given)
    seconds, memory = rows[::2], rows[1::2]
    assert [row.what for row in seconds] == list(faster.QUICK)
    assert all(row.ours > 0 and row.bare > 0 and "in 3 steps" in row.note for row in seconds)
    assert all(0 <= float(row.note.split()[3]) < 1e-5 for row in seconds), "of equal weights"
    levels = seconds[-1]
    assert "at most 0.0e+00" in levels.note, "the very same sums"
    assert all(row.unit == "MB" and row.ours > 17 for row in memory)


def test_the_switch_for_channels_last_turns_the_weights(given):
    switch = next(switch for switch in faster.SWITCHES if switch.what == faster.QUICK[0])
    for values in (switch.values, switch.without):
        training = Training(replace(faster._plan(switch, given), values=tuple(values.items())), given)
        kernels = [one for one in training._family.unet.parameters() if one.ndim == 4 and one.shape[2] > 1]
        turned = {one.is_contiguous(memory_format=torch.channels_last) for one in kernels}
        assert turned == {bool(values)}


def test_on_a_cpu_one_thread_computes(given, monkeypatch):
    threads: list[int] = []
    before = torch.get_num_threads()
    monkeypatch.setattr(faster, "rows_of", lambda *_: threads.append(torch.get_num_threads()) or [])
    try:
        torch.set_num_threads(2)
        assert faster.measure(given) == []
        assert set(threads) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_is_published_is_measured(given):
    rows = published.measure(given)
    assert [row.what for row in rows] == ["SD1.5 tiny, lora, 64 px", "... peak memory"]
    assert rows[0].ours > 0 and rows[1].ours > 4


def test_what_the_compiler_or_the_memory_does_not_take_has_no_figure(given, monkeypatch):
    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(Training, "step", fails)
    (row,) = published.measure(given)
    assert (row.ours, row.note) == (None, "does not fit into this machine's memory")
    monkeypatch.setattr(faster, "InductorError", MemoryError)
    assert [row.ours for row in faster.measure(given)] == [None] * len(faster.QUICK)


def test_differences_are_shares():
    assert differences([1.1, 2.0], [1.0, 2.0]) == pytest.approx((0.1, 0.05))
