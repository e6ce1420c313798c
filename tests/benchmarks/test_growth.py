"""Whether time grows with what there is shows, whatever starting takes."""

import pytest

from benchmarks.growth import Work, growth
from benchmarks.rows import TOO_SHORT


def test_each_of_many_is_compared_without_the_start():
    row = growth("clean", Work(1, 1.0), Work(1_001, 1.5), Work(10_001, 8.0), 1.2)
    assert (row.ours, row.bare, row.holds) == (pytest.approx(700), pytest.approx(500), False)
    assert row.what == "clean: each" and "starting, 1.00 s" in row.note
    short = growth("clean", Work(1, 1.0), Work(1_001, 0.9), Work(10_001, 8.0), 1.2)
    assert (short.ours, short.note) == (None, TOO_SHORT)
