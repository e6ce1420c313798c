"""A part of the matrix (`python -m benchmarks.bad_input` is all of it): the programs that need no model, by lot."""

import json
import struct
import sys
import time
from pathlib import Path

import pytest

from tests.bad_input import matrix
from tests.bad_input.slots import slots_in
from tests.data.bad_pictures import write_named

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cases run in forks, with limits of Linux")

CASES = 60
SCRIPTS = {
    "finetune/merge_captions_to_metadata.py",
    "finetune/merge_dd_tags_to_metadata.py",
    "finetune/clean_captions_and_tags.py",
    "tools/show_metadata.py",
    "tools/edit_metadata.py",
    "tools/edit_captions.py",
    "tools/resize_images_to_resolution.py",
    "tools/group_images.py",
    "tools/make_dreambooth_folders.py",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with texts, their metadata, rules, and the smallest network."""
    folder = tmp_path_factory.mktemp("bad") / "world"
    for place, names in {"pictures": ("a", "b"), "masks": ("a",), "learnt/2_red cat": ("a",)}.items():
        for picture in write_named(folder / place, tuple(f"{name}.png" for name in names)):
            picture.with_suffix(".caption").write_text("a cat")
            picture.with_suffix(".txt").write_text("cat, tree")
    entries = {name: {"caption": "a woman", "tags": "1girl"} for name in ("a", "b")}
    for name in ("meta", "dirty"):
        (folder / f"{name}.json").write_text(json.dumps(entries))
    (folder / "rows.jsonl").write_text('{"image_path": "a", "caption": "b"}\n')
    (folder / "rules.toml").write_text('version = 1\n[tags]\n[captions]\nreplace = [{ from = ["a"], to = "b" }]\n')
    for path in ("networks/a.safetensors", "network/X.safetensors"):
        (folder / path).parent.mkdir()
        tensors = {f"lora_unet_a.lora_{n}.weight": [4 * n, 4 * n + 4] for n in range(2)}
        facts = {name: {"dtype": "F32", "shape": [1, 1], "data_offsets": span} for name, span in tensors.items()}
        head = json.dumps({"__metadata__": {"ss_seed": "1"}, **facts}).encode()
        (folder / path).write_bytes(struct.pack("<Q", len(head)) + head + bytes(8))
    return folder


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of 1 GB is made once, if at all."""
    monkeypatch.setenv("BAD_INPUT_STORE", str(tmp_path))


def test_programs_say_what_is_wrong_and_lose_nothing(world: Path, tmp_path: Path) -> None:
    slots = [slot for slot in slots_in(world) if slot.script in SCRIPTS]
    assert {slot.script for slot in slots} == SCRIPTS
    cases = (case for case in matrix.cases_of(slots, world, 0) if "1 GB" not in case.broken.name)
    until = time.monotonic() + 300
    counts = matrix.run_all((case for _, case in zip(range(CASES), cases, strict=False)), world, tmp_path, until)
    assert counts.lines == []
    assert counts.tried == CASES
    assert {0, 2} <= set(counts.codes)


def test_what_is_wrong_is_seen(world: Path, tmp_path: Path) -> None:
    """A program that fails, one that waits and one that changes what it reads would be found."""
    slot = next(slot for slot in slots_in(world) if slot.put == "broken.toml" and slot.script in SCRIPTS)
    case = matrix.Case(slot, matrix.broken(slot.kind, world / slot.good)[0])
    said = matrix.forks.Ended(1, "Traceback (most recent call last)\nOSError: x", 1.0, 0, False)
    assert [what.partition(":")[0] for what in matrix.ended_wrongly(case, said)] == ["crash"]
    late = matrix.forks.Ended(-9, "", 60.0, 0, True)
    assert [what.partition(":")[0] for what in matrix.ended_wrongly(case, late)] == ["slow"]
    large = matrix.forks.Ended(2, "Error: no", 1.0, 2 * 10**9, False)
    assert [what.partition(":")[0] for what in matrix.ended_wrongly(case, large)] == ["memory"]
    assert list(matrix.lost({"a": 1, "b": 2}, {"a": 3}, False)) == ["loss: changed: a", "loss: gone: b"]
    ended, wrong = matrix.run_case(slot, world, tmp_path / "good")
    assert (ended.code, wrong) == (0, [])
