"""Modules that wait until they are used: nothing works differently, only later."""

import importlib
import sys

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
}
TABLE = {"far", "open_package", "broken", "not_there", "sums"}


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
    for name in [name for name in sys.modules if name.partition(".")[0] in TABLE | {"taker"}]:
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
