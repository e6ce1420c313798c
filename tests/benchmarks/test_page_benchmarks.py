"""The benchmarks of the page: the order in which they measure, and what becomes of an error meanwhile."""

import threading

import pytest

from benchmarks import gui
from benchmarks.open_pages import beside


def test_the_page_and_the_bare_app_take_turns_in_being_first(monkeypatch):
    order = []
    monkeypatch.setattr(gui, "_of_page", lambda found, browser: order.append("page"))
    monkeypatch.setattr(gui, "_of_bare_app", lambda kinds, found, browser: order.append("bare"))
    gui.measure(None, 3)
    assert order == ["page", "bare", "bare", "page", "page", "bare"]


def test_an_error_beside_the_measurement_is_raised_when_it_ends():
    over, steps = threading.Event(), []

    def fails():
        over.wait(0.01)
        raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"), beside(fails, over):
        steps.append("measured")
    assert steps == ["measured"] and over.is_set()


def test_an_error_of_the_measurement_itself_comes_first():
    over = threading.Event()
    with pytest.raises(ValueError, match="measuring"), beside(over.wait, over):
        raise ValueError("measuring")
    assert over.is_set()
