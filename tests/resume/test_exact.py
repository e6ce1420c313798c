"""The whole is its parts, bit for bit: one training of each kind with everything that could make a difference.

`python -m benchmarks.resume` tries every method with every feature.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.resume import Told, compare, differences, make_world
from benchmarks.resume_cases import cases

KINDS = ("full", "LoRA", "inversion", "hypernetwork")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    here = tmp_path_factory.mktemp("resume") / "world"
    with pytest.MonkeyPatch.context() as patch:
        from sd_scripts.library.models import sources

        # The world replaces it; the tests after these find it as it was.
        patch.setattr(sources, "clip_tokenizer", sources.clip_tokenizer)
        make_world(here)
        yield here


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_is_its_parts(kind: str, world: Path) -> None:
    (case,) = [case for case in cases() if case.name == f"{kind}, many at once"]
    assert differences(case, world, steps=4) == []


def test_what_differs_is_found() -> None:
    whole = Told({3: {"loss": 0.1, "epoch": 1}}, {"X.safetensors": "1", "X-step00000003.safetensors": "2"})
    whole.logged["loss/current"] = {1: 0.5, 3: 0.1}
    part = Told({1: {"loss": 0.5, "epoch": 1}, 3: {"loss": 0.2, "epoch": 1}}, {"X.safetensors": "3"})
    assert compare(whole, part, 2, samples=True) == [
        "step 3: {'loss': 0.1, 'epoch': 1}",
        "step 1 once more",
        "TensorBoard's loss/current: {3: 0.1} and None",
        "X-step00000003.safetensors: 2 and None",
        "X.safetensors: 1 and 3",
    ]
