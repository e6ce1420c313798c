"""The installation from start to end, with real pip and a real environment but packages of a few bytes."""

import base64
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from installer import installation, machine
from installer.environment import Environment
from installer.problems import SetupError

PYPROJECT = """
[project]
dependencies = ["torch", "small"]
[project.optional-dependencies]
cpu = ["onnxruntime"]
gpu = ["onnxruntime-gpu"]
xformers = ["xformers"]
test = ["tester"]
"""
PINS = "torch==2.13.0\nsmall==1.0\nonnxruntime==1.0\nonnxruntime-gpu==1.0\ntester==1.0\n"
MODULES = {"small": ("small", "cv2", "psutil"), "onnxruntime-gpu": ("onnxruntime",)}


def make_wheel(folder, name, version):
    """A wheel whose modules know where they came from."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = {f"{module}.py": f"origin = '{name} {version}'\n" for module in MODULES.get(name, (name,))}
    files[f"{stem}.dist-info/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{stem}.dist-info/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = f"{stem}.dist-info/RECORD"
    rows = [f"{path},sha256={digest(text)},{len(text)}" for path, text in files.items()]
    files[record] = "\n".join([*rows, f"{record},,"]) + "\n"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small project, installed once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("set-up")
        wheels, root = folder / "wheels", folder / "project"
        wheels.mkdir()
        root.mkdir()
        for name, version in [line.split("==") for line in [*PINS.splitlines(), "small==2.0"]]:
            make_wheel(wheels, name, version)
        (root / "pyproject.toml").write_text(PYPROJECT)
        (root / "constraints.txt").write_text(PINS)
        (root / "constraints-xformers.txt").write_text("torch==2.10.0\nxformers==0.0.35\n")
        quiet_pip(patch, wheels)
        installation.ensure(root)
        yield folder


def quiet_pip(patch, wheels):
    """pip sees these wheels and nothing else, whatever this machine's configuration says."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        patch.delenv(name)
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(wheels))
    patch.setattr(machine, "has_nvidia_gpu", lambda: False)
    patch.setattr(machine, "index_answers", lambda url: False)


@pytest.fixture
def root(finished, tmp_path, monkeypatch):
    """A copy of the installed project, its installation untouched."""
    quiet_pip(monkeypatch, finished / "wheels")
    return Path(shutil.copytree(finished / "project", tmp_path / "project", symlinks=True))


@pytest.fixture
def no_pip(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pip was run")

    return lambda: monkeypatch.setattr(Environment, "pip", refuse)


def origin(root, module):
    """What the environment's module says about itself; empty where there is none."""
    return Environment(root).answer("-c", f"import {module}; print({module}.origin)").strip()


def test_a_second_start_installs_nothing(root, no_pip):
    assert origin(root, "torch") == "torch 2.13.0"
    assert origin(root, "onnxruntime") == "onnxruntime 1.0"
    assert origin(root, "tester") == ""
    no_pip()
    installation.ensure(root)


def test_tests_bring_their_extras_which_then_stay(root, no_pip):
    installation.ensure(root, test=True)
    assert origin(root, "tester") == "tester 1.0"
    no_pip()
    installation.ensure(root, test=True)
    installation.ensure(root)


def test_changed_pins_are_installed(root):
    (root / "constraints.txt").write_text(PINS.replace("small==1.0", "small==2.0"))
    installation.ensure(root)
    assert origin(root, "small") == "small 2.0"


def test_an_installation_that_stopped_in_the_middle_is_repaired(root):
    environment = Environment(root)
    site = next((environment.folder / "lib").glob("python*/site-packages"))
    environment.remove_stamp()
    (site / "small-1.0.dist-info" / "INSTALLER").unlink()
    (site / "cv2.py").unlink()
    (site / "~orch").mkdir()
    installation.ensure(root)
    assert origin(root, "cv2") == "small 1.0"
    assert not (site / "~orch").exists()
    assert environment.stamp() is not None


def test_an_environment_without_its_python_is_made_anew(root):
    Environment(root).python.unlink()
    installation.ensure(root)
    assert origin(root, "torch") == "torch 2.13.0"


def test_an_environment_without_pip_is_made_anew(root):
    environment = Environment(root)
    shutil.rmtree(next((environment.folder / "lib").glob("python*/site-packages/pip")))
    environment.make()
    assert environment.answer("-m", "pip", "--version").startswith("pip ")


def test_a_graphics_card_swaps_the_onnx_runtime(root):
    installation.install(root, extras=frozenset({"gpu"}))
    assert Environment(root).installed(["onnxruntime", "onnxruntime-gpu"]) == ["onnxruntime-gpu"]
    assert origin(root, "onnxruntime") == "onnxruntime-gpu 1.0"

    (root / "constraints.txt").write_text(PINS.replace("small==1.0", "small==2.0"))
    installation.ensure(root)
    assert Environment(root).stamp().extras == {"gpu"}, "what was chosen stays chosen"
    assert Environment(root).installed(["onnxruntime", "onnxruntime-gpu"]) == ["onnxruntime-gpu"]


def test_a_package_that_pip_cannot_find_leaves_no_stamp(root):
    (root / "constraints.txt").write_text(PINS.replace("small==1.0", "small==3.0"))
    with pytest.raises(SetupError, match="does not offer this version") as caught:
        installation.ensure(root)
    assert "small==3.0" in caught.value.details
    assert "small==3.0" in Environment(root).log.read_text()
    assert Environment(root).stamp() is None


def test_packages_that_do_not_start_leave_no_stamp(root):
    with pytest.raises(SetupError, match="do not start here") as caught:
        installation.install(root, extras=frozenset({"cpu"}), check=["no_such_module"])
    assert "no_such_module" in caught.value.details
    assert Environment(root).stamp() is None


def test_an_index_that_was_asked_for_replaces_torch(root, finished, monkeypatch):
    shelf = finished / "index" / "torch"
    shelf.mkdir(parents=True)
    make_wheel(shelf, "torch", "2.13.0+mirror")
    wheel = next(shelf.glob("*.whl")).name
    (shelf / "index.html").write_text(f'<a href="{wheel.replace("+", "%2B")}">{wheel}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    installation.install(root, extras=frozenset({"cpu"}), index=shelf.parent.as_uri())
    assert origin(root, "torch") == "torch 2.13.0+mirror"
