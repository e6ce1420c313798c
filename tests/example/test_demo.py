"""The example project and the demo: the whole way from photographs to a checkpoint that other programs open."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts.library.data.images import open_image
from sd_scripts.library.example.demo import SCRIPTS as FOLDER
from sd_scripts.library.example.demo import commands
from sd_scripts.library.example.pictures import PICTURES, write_pictures
from sd_scripts.options.cli import parse
from sd_scripts.options.scripts import SCRIPTS


def test_pictures_are_of_many_kinds_and_their_makers_are_named(tmp_path: Path) -> None:
    written = write_pictures(tmp_path / "pictures")
    sizes = {open_image(path).size for path in written}
    assert len(written) == 16 and len(sizes) >= 12
    assert len({path.suffix.lower() for path in written}) >= 6
    assert open_image(tmp_path / "pictures" / "portrait.jpg").size == (680, 1024)
    with Image.open(tmp_path / "pictures" / "portrait.jpg") as stored:
        assert stored.size == (1024, 680)
    licences = (tmp_path / "LICENCES.txt").read_text(encoding="utf-8")
    assert all(picture.name in licences and picture.credit in licences for picture in PICTURES)


@pytest.mark.parametrize(("title", "words"), commands(Path("x"), 40)[1:], ids=lambda value: str(value)[:20])
def test_the_demo_gives_only_options_that_exist(title: str, words: list[str]) -> None:
    script = Path(words[0]).relative_to(FOLDER).as_posix()
    assert title and parse(SCRIPTS[script], words[1:], Path(script).name)


def test_the_whole_demo(tmp_path: Path) -> None:
    folder = tmp_path / "an example"
    words = [sys.executable, str(FOLDER / "tools" / "demo.py"), str(folder), "--max_train_steps", "4"]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Everything is in" in done.stderr and "random weights" in done.stderr
    metadata = json.loads((folder / "meta_lat.json").read_text(encoding="utf-8"))
    assert len(metadata) == 16 and all(entry["caption"] and entry["train_resolution"] for entry in metadata.values())
    assert {path.name for path in (folder / "trained").glob("*.safetensors")} == {
        "example.safetensors",
        "example-step00000002.safetensors",
        "example-step00000004.safetensors",
    }
    assert len(list((folder / "trained" / "sample").glob("*.png"))) == 4
    assert list((folder / "logs").rglob("events.out.tfevents.*"))
