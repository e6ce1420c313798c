"""show_metadata.py and edit_metadata.py: what a header says changes, the weights do not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import write_safetensors
from sd_scripts.library.io.headers import safetensors_header
from sd_scripts.options.model_tools import EditMetadataOptions, ShowMetadataOptions
from sd_scripts.tools import edit_metadata, show_metadata
from tests.tools.conftest import ran

TENSORS = {"b": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3), "a": torch.tensor([1.5])}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "network.safetensors"
    write_safetensors(path, TENSORS, {"ss_steps": "5", "ss_seed": "1", "kept": "猫"})
    return path


def edited(file: Path, **flags: Any) -> Any:
    return ran(edit_metadata.work, EditMetadataOptions, model=str(file), **flags)


def test_keys_are_set_and_removed_and_the_weights_stay_byte_for_byte(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    out = tmp_path / "new.safetensors"
    flags: dict[str, Any] = {"set": ["note=a=b", "kept=犬"], "remove": ["ss_*", "nothing"]}
    report = edited(file, output=str(out), metadata_author="私", **flags)
    expected = {"format": "pt", "kept": "犬", "note": "a=b", "modelspec.author": "私"}
    assert safetensors_header(out)[1] == expected
    assert "--remove nothing: the header has no such key" in report.said
    assert "2 keys added, 1 changed, 2 removed" in report.said
    assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in load_file(out).items())
    assert out.read_bytes()[-14:] == before[-14:]
    # Tensors begin where they can be mapped.
    assert int.from_bytes(out.read_bytes()[:8], "little") % 8 == 0
    assert file.read_bytes() == before


def test_words_that_are_no_utf_8_are_written_as_escapes(file: Path) -> None:
    edited(file, in_place=True, set=["note=gr\udcfcn"], metadata_author="M\udcfcller")
    with safe_open(file, "pt") as opened:
        found = opened.metadata()
    assert (found["note"], found["modelspec.author"]) == (r"gr\udcfcn", r"M\udcfcller")


def test_in_place_only_when_asked(file: Path) -> None:
    edited(file, in_place=True, remove=["*"])
    assert safetensors_header(file)[1] == {"format": "pt"}
    assert load_file(file).keys() == TENSORS.keys()


def test_what_is_shown_can_be_given_back(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(show_metadata.work, ShowMetadataOptions, model=str(file))
    shown = tmp_path / "shown.json"
    shown.write_text(capsys.readouterr().out, encoding="utf-8")
    assert json.loads(shown.read_text(encoding="utf-8"))["kept"] == "猫"
    bare = tmp_path / "bare.safetensors"
    write_safetensors(bare, TENSORS)
    edited(bare, in_place=True, set_from=str(shown))
    assert safetensors_header(bare)[1] == safetensors_header(file)[1]


def test_what_cannot_be_done_is_said(file: Path, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"set": ["a=1"]}, "Name --output"),
        ({"output": str(file), "set": ["a=1"]}, "is what is read here"),
        ({"output": str(tmp_path / "x.safetensors")}, "Nothing is asked for"),
        ({"in_place": True, "set": ["a"]}, "write key=text"),
        ({"in_place": True, "set_from": str(file)}, "is no JSON file"),
    ]
    for flags, says in wrong:
        with pytest.raises(BadOption, match=says):
            edited(file, **flags)
    with pytest.raises(BadFile, match="only those have metadata"):
        ran(show_metadata.work, ShowMetadataOptions, model=str(Path(__file__)))
