"""Downloads, from a hub on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.hub import _complete
from tests.hub import files_of, serving
from tests.tagging.conftest import ROOT


@pytest.fixture
def hub():
    with serving() as hub:
        yield hub


@pytest.fixture
def environment(hub, tmp_path):
    return hub.environment(tmp_path / "hf")


def test_a_tagger_is_downloaded_once_and_then_needs_no_network(
    models, pictures, run_script, hub, environment, tmp_path
):
    hub.serve("owner/model", {**files_of(models("wd14")), "README.md": b"not needed"})
    arguments = ("tag_images_by_wd14_tagger.py", pictures, "--repo_id", "owner/model", "--model_dir", tmp_path / "kept")
    first = run_script(*arguments, **environment)
    assert first.returncode == 0, first.stderr
    assert "Downloading owner/model" in first.stderr
    kept = tmp_path / "kept" / "owner_model"
    assert sorted(path.name for path in kept.iterdir() if path.is_file()) == ["model.onnx", "selected_tags.csv"]
    hub.asked.clear()
    assert run_script(*arguments, **environment).returncode == 0
    assert hub.asked == []
    text = (kept / "selected_tags.csv").read_text()
    hub.repositories["models/owner/model"].files["selected_tags.csv"] = text.replace("solo", "alone").encode()
    assert run_script(*arguments, "--force_download", "--thresh", "0", **environment).returncode == 0
    assert "alone" in (pictures / "plain.txt").read_text()


def test_a_repository_may_be_named_with_a_folder_in_it(models, pictures, run_script, hub, environment, tmp_path):
    hub.serve("owner/model", {f"v2/{name}": data for name, data in files_of(models("wd14_mapping")).items()})
    arguments = (
        "tag_images_by_wd14_tagger.py",
        pictures,
        "--repo_id",
        "owner/model/v2",
        "--model_dir",
        tmp_path / "kept",
    )
    assert run_script(*arguments, **environment).returncode == 0
    assert (tmp_path / "kept" / "owner_model_v2" / "v2" / "model_optimized.onnx").is_file()
    hub.asked.clear()
    assert run_script(*arguments, **environment).returncode == 0
    assert hub.asked == []


def call(function, *arguments, environment):
    """Calls a function of the hub module in a process of its own, as the hub's address is read once; gives its path."""
    code = f"import sys; from sd_scripts.library.io import hub; print(hub.{function}(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_a_captioner_is_downloaded_once_in_one_format(models, hub, environment):
    more = {"pytorch_model.bin": b"the same again", "folder/config.json": b"{}"}
    hub.serve("owner/model", {**files_of(models("git")), **more})
    folder = call("model_folder", "owner/model", "model_id", environment=environment)
    assert files_of(folder) == files_of(models("git"))
    hub.asked.clear()
    assert call("model_folder", "owner/model", "model_id", environment=environment) == folder
    assert hub.asked == []
    (folder / "model.safetensors").unlink()
    call("model_folder", "owner/model", "model_id", environment=environment)
    assert files_of(folder) == files_of(models("git"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": [1]}}', "[" * 100_000])
def test_a_list_of_parts_that_is_damaged_is_a_sentence(tmp_path, text):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(BadFile, match="index.json cannot be read as JSON"):
        _complete(tmp_path, index.name)


def test_a_broken_download_goes_on(hub, environment, tmp_path):
    data = os.urandom(1 << 20) * 25
    hub.serve("owner/model", {"blob.bin": data})
    hub.breaks = {"blob.bin": 22 << 20}
    path = call("download", "owner/model", "blob.bin", tmp_path / "kept", environment=environment)
    assert path == tmp_path / "kept" / "blob.bin"
    assert path.read_bytes() == data
    assert len(hub.ranges) == 1


@pytest.mark.parametrize(
    ("files", "name", "sentence"),
    [
        ({}, "someone/else", "the hub has no someone/else"),
        ({"README.md": b""}, "owner/model", "the hub has no model.onnx and selected_tags.csv in it"),
    ],
)
def test_what_the_hub_lacks_is_said(files, name, sentence, pictures, run_script, hub, environment, tmp_path):
    hub.serve("owner/model", files)
    arguments = ("tag_images_by_wd14_tagger.py", pictures, "--repo_id", name, "--model_dir", tmp_path / "kept")
    done = run_script(*arguments, **environment)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_hub_that_cannot_be_reached_is_said(pictures, run_script, tmp_path):
    arguments = ("tag_images_by_wd14_tagger.py", pictures, "--model_dir", tmp_path / "kept")
    done = run_script(*arguments, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0")
    assert done.returncode == 2
    assert "SmilingWolf/wd-v1-4-convnext-tagger-v2 is not on this machine" in done.stderr
    assert "give --repo_id a local folder" in done.stderr
