"""The benchmark of memory runs, and the formula holds for what it measures quickly."""

from benchmarks.memory import measure
from benchmarks.rows import Given


def test_what_is_expected_is_measured(tmp_path):
    measured, besides = measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert measured.holds and measured.bare > 0.01
    # Python, torch and the libraries: what the process held before and after is the same on a busy machine.
    assert besides.ours / 1.5 < besides.bare < besides.ours * 1.5
