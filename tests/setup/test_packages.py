"""Which packages a machine gets, and from where."""

import json
from pathlib import Path

import pytest

from installer import packages
from installer.packages import CPU_INDEX, CUDA_INDEXES, Stamp

ROOT = Path(__file__).resolve().parents[2]
CPU, GPU = frozenset({"cpu"}), frozenset({"gpu"})


@pytest.fixture(scope="module")
def pins():
    return packages.read_pins(ROOT)


def test_each_machine_gets_exactly_one_onnx_runtime(pins):
    for has_gpu, wanted, other in [(False, "onnxruntime", "onnxruntime-gpu"), (True, "onnxruntime-gpu", "onnxruntime")]:
        extras = packages.extras_for(has_gpu=has_gpu)
        assert wanted in pins.requirements(extras)
        assert other not in pins.requirements(extras)
        assert other in pins.unwanted(extras)


def test_tests_and_xformers_come_only_when_asked_for(pins):
    plain = pins.requirements(packages.extras_for(has_gpu=True))
    assert not {"pytest", "mypy", "xformers"} & set(plain)
    assert {"torch", "gradio", "bitsandbytes"} <= set(plain)
    assert "pytest" in pins.requirements(packages.extras_for(has_gpu=True, test=True))
    assert "xformers" in pins.requirements(packages.extras_for(has_gpu=True, xformers=True))
    assert "xformers" in pins.unwanted(GPU)


def test_xformers_brings_its_own_torch(pins):
    with_xformers = packages.extras_for(has_gpu=True, xformers=True)
    assert pins.version_of("torch", GPU) == "2.13.0"
    assert pins.version_of("torch", with_xformers) == "2.10.0"
    lines = pins.constraints_for(with_xformers).splitlines()
    assert [line for line in lines if line.startswith("torch==")] == ["torch==2.10.0"]
    assert "gradio==6.31.0" in lines


def test_every_requirement_is_pinned_to_one_version(pins):
    everything = frozenset(pins.extras)
    pinned = packages._pins(pins.constraints_for(everything))
    asked = [name.lower().replace("_", "-") for name in pins.requirements(everything)]
    assert not [name for name in asked if name not in pinned]
    lines = [line for line in pins.constraints.splitlines() if not line.startswith("#")]
    assert len(lines) == len(packages._pins(pins.constraints)), "a package is pinned twice"


@pytest.mark.parametrize("name", ["torchvision", "timm", "open-clip-torch", "torchao", "kernels", "tensorflow"])
def test_harmful_packages_are_not_in_the_set(pins, name):
    assert name not in packages._pins(pins.constraints_for(frozenset(pins.extras)))


def index(system, extras, *, asked=None, own=False, answers=True):
    return packages.torch_index(
        system=system, extras=extras, asked=asked, pip_offers_its_own=lambda: own, answers=lambda url: answers
    )


def test_linux_without_gpu_saves_the_cuda_libraries():
    assert index("Linux", CPU) == CPU_INDEX


def test_linux_without_gpu_leaves_it_to_pip_when_the_index_does_not_answer():
    assert index("Linux", CPU, answers=False) is None


def test_a_build_that_pips_own_configuration_offers_comes_first():
    assert index("Linux", CPU, own=True) is None


def test_linux_with_gpu_takes_the_registrys_cuda_build():
    assert index("Linux", GPU) is None


def test_windows_takes_cuda_from_pytorchs_index_only_for_a_gpu():
    assert index("Windows", GPU) == CUDA_INDEXES[False]
    assert index("Windows", GPU | {"xformers"}) == CUDA_INDEXES[True]
    assert index("Windows", CPU) is None


def test_a_mac_takes_the_registrys_build():
    assert index("Darwin", CPU) is None


def test_an_index_that_was_asked_for_wins():
    assert index("Linux", CPU, asked="https://mirror/simple", own=True) == "https://mirror/simple"
    assert index("Windows", GPU, asked="https://mirror/simple") == "https://mirror/simple"


def test_another_build_of_the_same_torch_makes_room():
    assert packages.must_replace_torch("2.13.0+cpu", GPU, None), "the machine got a graphics card"
    assert packages.must_replace_torch("2.13.0", CPU, "https://mirror/simple")
    assert not packages.must_replace_torch("2.13.0+cpu", CPU, None)
    assert not packages.must_replace_torch("2.13.0", CPU, None), "a CUDA build also computes on the CPU"
    assert not packages.must_replace_torch("2.13.0+cu130", GPU, None)
    assert not packages.must_replace_torch("", GPU, "https://mirror/simple")


def test_stamp_survives_being_written():
    stamp = Stamp("abc", frozenset({"cpu", "test"}))
    assert packages.stamp_from_text(packages.stamp_to_text(stamp)) == stamp


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', json.dumps({"version": 99})])
def test_a_damaged_or_foreign_stamp_is_no_stamp(text):
    assert packages.stamp_from_text(text) is None


def test_a_stamp_covers_what_it_has_and_no_more():
    stamp = Stamp("abc", frozenset({"cpu", "test"}))
    assert stamp.covers("abc", [])
    assert stamp.covers("abc", ["test"])
    assert not stamp.covers("abc", ["xformers"])
    assert not stamp.covers("other", [])


def test_fingerprint_follows_everything_that_an_environment_is_made_from(pins):
    changed = [
        packages.Pins((*pins.dependencies, "new"), pins.extras, pins.constraints, pins.xformers_constraints),
        packages.Pins(pins.dependencies, pins.extras | {"test": ()}, pins.constraints, pins.xformers_constraints),
        packages.Pins(pins.dependencies, pins.extras, pins.constraints + "new==1\n", pins.xformers_constraints),
        packages.Pins(pins.dependencies, pins.extras, pins.constraints, "torch==2.9.0\n"),
    ]
    prints = {pins.fingerprint("3.11"), pins.fingerprint("3.12"), *(other.fingerprint("3.11") for other in changed)}
    assert len(prints) == 6
    assert pins.fingerprint("3.11") == packages.read_pins(ROOT).fingerprint("3.11")
