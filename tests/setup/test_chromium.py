"""Which browser the tests drive."""

import sys

import pytest

from installer import chromium
from installer.problems import SetupError
from sd_scripts.library import systems


@pytest.fixture
def apt(monkeypatch):
    """Records what would be run, as root; nothing is installed."""
    ran = []
    monkeypatch.setattr(chromium, "_may_install", lambda: True)
    monkeypatch.setattr(chromium, "_run", ran.append)
    return ran


def test_the_named_browser_wins(apt):
    assert chromium.provide({"CHROMIUM_PATH": sys.executable}) == sys.executable
    assert apt == []


def test_a_named_browser_that_is_not_there_is_said(apt):
    with pytest.raises(SetupError, match="CHROMIUM_PATH names /no/such"):
        chromium.provide({"CHROMIUM_PATH": "/no/such"})
    assert apt == []


def test_the_systems_browser_is_next(apt):
    second = systems.chromium_places()[-1]
    assert chromium.provide({}, find=lambda name: f"/bin/{name}" if name == second else None) == f"/bin/{second}"
    assert apt == []


def test_apt_brings_one_where_it_works(apt):
    def find(name):
        if name == "apt-get":
            return "/usr/bin/apt-get"
        return f"/bin/{name}" if len(apt) == 2 and name == systems.chromium_places()[0] else None

    assert chromium.provide({}, find=find) == f"/bin/{systems.chromium_places()[0]}"
    assert [argv[1] for argv in apt] == ["update", "install"]


def test_without_any_way_one_sentence_says_what_to_do(apt, monkeypatch):
    with pytest.raises(SetupError, match="install one, or name its program"):
        chromium.provide({}, find=lambda name: name if name == "apt-get" else None)
    monkeypatch.setattr(chromium, "_may_install", lambda: False)
    apt.clear()
    with pytest.raises(SetupError, match="CHROMIUM_PATH"):
        chromium.provide({}, find=lambda name: name if name == "apt-get" else None)
    assert apt == []
