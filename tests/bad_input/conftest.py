"""One folder of bad pictures, and the tiny models."""

import json
import warnings
from pathlib import Path

import pytest

from sd_scripts.library.example import sd_models, taggers
from tests.bad_input.runs import BROKEN_ALONE
from tests.data.bad_pictures import NAMES, ODD, write_named, write_pictures


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny models: sd1.safetensors, blip, git, wd14, deepdanbooru."""
    folder = tmp_path_factory.mktemp("models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sd_models.make_sd1(folder / "sd1.safetensors")
        taggers.make_blip(folder / "blip")
        taggers.make_git(folder / "git")
        taggers.make_wd14(folder / "wd14")
        taggers.make_deepdanbooru(folder / "deepdanbooru")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with every bad picture in `my $(pics)`, and their metadata in in.json, by stem."""
    pics = tmp_path / "my $(pics)"
    write_pictures(pics, BROKEN_ALONE | ODD)
    write_named(pics, NAMES)
    entries = {path.stem: {"caption": f"a picture, {path.stem}", "tags": "one"} for path in sorted(pics.iterdir())}
    (tmp_path / "in.json").write_text(json.dumps(entries), encoding="utf-8")
    return tmp_path
