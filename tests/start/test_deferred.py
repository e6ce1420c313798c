"""Modules that wait until they are used: nothing works differently, only later."""

import importlib
import sys
import threading
from types import ModuleType

import pytest

from sd_scripts.library import deferred

FILES = {
    "far/__init__.py": "from far.near import late\nRAN = True\nclass Thing: ...\n",
    "far/near.py": "late = 3\n",
    "far/deep.py": "import far\nfound = far.Thing\n",
    "open_package/__init__.py": "raise RuntimeError('it ran')\n",
    "open_package/part.py": "value = 7\n",
    "sums.py": "def double(number):\n    return 2 * number\ndef half(number):\n    return number / 2\n",
    "taker.py": "from sums import double\n",
    "broken.py": "import nothing_of_this_name\n",
    "slow.py": "import gate\ngate.pass_by()\nvalue = 5\n",
    "failing.py": "import gate\ngate.pass_by()\nraise RuntimeError('why')\n",
    "wide/__init__.py": "import gate\ngate.pass_by()\nfrom wide.part import late\n",
    "wide/part.py": "late = 3\n",
    "plain.py": "value = 4\n",
    "round.py": "import gate\ngate.pass_by()\nimport about\nvalue = 5\n",
    "about.py": "import gate\ngate.go.set()\nimport round\nround.value\n",
}
TABLE = {"far", "open_package", "broken", "not_there", "sums", "slow", "failing", "wide", "round"}


@pytest.fixture(autouse=True)
def packages(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(deferred, "DEFERRED", TABLE)
    monkeypatch.setattr(deferred, "_OPEN", {"open_package"})
    monkeypatch.setattr(deferred, "CALLED", {"sums": {"double"}})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    deferred.defer_unused()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in TABLE | {"taker", "about", "plain"}]:
        del sys.modules[name]


def test_a_module_runs_when_something_of_it_is_asked_for():
    far = importlib.import_module("far")
    assert deferred.waits(far) and "RAN" not in vars(far)
    assert not hasattr(far, "__wrapped__") and deferred.waits(far)
    assert far.RAN and not deferred.waits(far)
    with pytest.raises(AttributeError, match="no_such"):
        far.no_such  # noqa: B018


def test_a_package_runs_before_its_modules_and_none_of_them_twice():
    importlib.import_module("far")
    near = importlib.import_module("far.near")
    assert sys.modules["far"].RAN and near is sys.modules["far.near"] and near.late == 3
    assert importlib.import_module("far.deep").found is sys.modules["far"].Thing


def test_of_an_open_package_single_modules_are_used_while_it_waits():
    assert importlib.import_module("open_package.part").value == 7
    with pytest.raises(RuntimeError, match="it ran"):
        sys.modules["open_package"].anything  # noqa: B018


def test_a_function_that_is_only_called_may_be_taken_while_its_module_waits():
    taker, sums = importlib.import_module("taker"), importlib.import_module("sums")
    assert deferred.waits(sums)
    assert taker.double(number=4) == 8 and not deferred.waits(sums)
    assert sums.double is not taker.double and taker.double(5) == 10
    assert importlib.import_module("sums").half(4) == 2


def test_the_reason_of_a_failed_import_is_told_each_time():
    broken = importlib.import_module("broken")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
            broken.value  # noqa: B018


def test_what_is_not_installed_stays_so():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("not_there")


class Gate(ModuleType):
    """A module at which others stay, while they run, until they may go on."""

    def __init__(self):
        super().__init__("gate")
        self.reached, self.go, self.runs = threading.Event(), threading.Event(), 0

    def pass_by(self):
        self.runs += 1
        self.reached.set()
        self.go.wait(60)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate()
    monkeypatch.setitem(sys.modules, "gate", gate)
    yield gate
    gate.go.set()


class Asking(threading.Thread):
    """A thread that asks for something, and keeps what came of it."""

    def __init__(self, question):
        super().__init__(daemon=True)
        self.question, self.answer = question, None
        self.start()

    def run(self):
        try:
            self.answer = self.question()
        except Exception as error:
            self.answer = error

    def ends(self):
        self.join(60)
        return not self.is_alive()


def test_who_asks_while_another_thread_runs_the_module_waits_for_it(gate):
    slow = importlib.import_module("slow")
    first = Asking(lambda: slow.value)
    assert gate.reached.wait(60)
    second = Asking(lambda: slow.value)
    # Time enough for a wrong answer; the right one comes later, however long that takes.
    second.join(0.3)
    assert deferred.waits(slow) and second.is_alive()
    gate.go.set()
    assert first.ends() and second.ends() and (first.answer, second.answer, gate.runs) == (5, 5, 1)
    assert not deferred.waits(slow)


def test_who_waited_for_a_module_that_failed_hears_the_reason_too(gate):
    failing = importlib.import_module("failing")
    first = Asking(lambda: failing.value)
    assert gate.reached.wait(60)
    second = Asking(lambda: failing.value)
    gate.go.set()
    assert first.ends() and second.ends() and gate.runs == 2
    assert [str(one.answer) for one in (first, second)] == ["why", "why"]


def test_a_package_that_another_thread_runs_is_not_waited_for_by_its_modules(gate):
    """That thread may need them itself, and would wait for their import."""
    wide = importlib.import_module("wide")
    first = Asking(lambda: wide.late)
    assert gate.reached.wait(60)
    second = Asking(lambda: importlib.import_module("wide.part").late)
    assert second.ends() and second.answer == 3 and not gate.go.is_set()
    gate.go.set()
    assert first.ends() and (first.answer, gate.runs) == (3, 1)


def test_others_import_what_they_need_while_a_package_runs_before_its_module(gate):
    first = Asking(lambda: importlib.import_module("wide.part").late)
    assert gate.reached.wait(60)
    second = Asking(lambda: importlib.import_module("plain").value)
    assert second.ends() and second.answer == 4 and not gate.go.is_set()
    gate.go.set()
    assert first.ends() and (first.answer, gate.runs) == (3, 1)


def test_two_threads_that_would_wait_for_each_other_do_not(gate):
    """One runs a module that imports what the other imports, which asks for something of that module."""
    module = importlib.import_module("round")
    first = Asking(lambda: module.value)
    assert gate.reached.wait(60)
    second = Asking(lambda: importlib.import_module("about"))
    # Either finds the other's module half done, as with any import in circles.
    assert first.ends() and second.ends() and (first.answer, gate.runs) == (5, 1)
