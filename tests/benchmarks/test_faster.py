"""The benchmarks of ways to train faster work: what they measure, not how fast it is."""

import pytest

from benchmarks import faster, published
from benchmarks.rows import Given
from benchmarks.trainings import differences


@pytest.fixture
def given(tmp_path):
    return Given("cpu", quick=True, rounds=1, room=tmp_path)


def test_each_switch_has_seconds_memory_and_what_it_does_to_the_loss(given):
    rows = faster.measure(given)
    seconds, memory = rows[::2], rows[1::2]
    assert [row.what for row in seconds] == list(faster.QUICK)
    assert all(row.ours > 0 and row.bare > 0 and "in 3 steps" in row.note for row in seconds)
    last, levels = seconds
    # The same sums in another order, and the very same.
    assert all(0 <= float(row.note.split()[3]) < 1e-5 for row in seconds), "of equal weights"
    assert "at most 0.0e+00" not in last.note and "at most 0.0e+00" in levels.note
    assert all(row.unit == "MB" and row.ours > 17 for row in memory)


def test_what_is_published_is_measured(given):
    rows = published.measure(given)
    assert [row.what for row in rows] == ["SD1.5 tiny, lora, 64 px", "... peak memory"]
    assert rows[0].ours > 0 and rows[1].ours > 4


def test_differences_are_shares():
    assert differences([1.1, 2.0], [1.0, 2.0]) == pytest.approx((0.1, 0.05))
