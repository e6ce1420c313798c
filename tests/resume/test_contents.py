"""What a state knows of base models and pictures: their content, wherever they lie and whatever they are called."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sd_scripts.library import events
from sd_scripts.library.data.known_files import KnownFiles
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train import shown
from sd_scripts.library.train.contents import PIECE_BYTES, PIECES, content_of
from sd_scripts.library.train.going_on import settle
from sd_scripts.library.train.shaping import changes, shaping
from sd_scripts.library.train.state_facts import facts_of
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_network import TrainNetworkOptions
from tests.train.tiny import Recorder, make_trainer, options, tiny_data, train


def model(file: Path, scale: float = 1.0, metadata: dict[str, str] | None = None) -> Path:
    """A file of three tensors, the last of them larger than what is looked at."""
    file.parent.mkdir(parents=True, exist_ok=True)
    numbers = torch.arange(PIECES * PIECE_BYTES, dtype=torch.float32)
    save_file({"a": numbers[:4] * scale, "b": numbers[:9] * scale, "c": numbers * scale}, file, metadata)
    return file


def test_a_model_is_known_by_its_content(tmp_path: Path) -> None:
    first = model(tmp_path / "one.safetensors")
    known = content_of(str(first))
    assert len(known) == 12
    assert content_of(str(model(tmp_path / "elsewhere" / "two.safetensors", metadata={"title": "the same"}))) == known
    assert content_of(str(model(tmp_path / "one.safetensors", scale=1.05))) != known
    pickled = tmp_path / "one.ckpt"
    torch.save(load_file(model(first)), pickled)
    before = content_of(str(pickled))
    torch.save({name: tensor * 1.05 for name, tensor in load_file(first).items()}, pickled)
    assert before and content_of(str(pickled)) not in ("", before)
    first.write_bytes(b"no model")
    assert content_of(str(first)) == content_of(str(tmp_path / "none")) == content_of("nobody/nothing") == ""


def test_a_folder_and_a_hub_model_are_known_by_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hub" / "models--own--er" / "snapshots" / "1"
    for part in ("unet", "vae"):
        model(folder / part / "diffusion_pytorch_model.safetensors")
    (folder / "model_index.json").write_text("{}")
    known = content_of(str(folder))
    shutil.copytree(folder, tmp_path / "copy")
    model(tmp_path / "copy" / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert known and content_of(str(tmp_path / "copy")) == known
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert content_of("own/er") == known
    model(folder / "vae" / "diffusion_pytorch_model.safetensors", scale=1.05)
    assert content_of("own/er") not in ("", known)


def of_network(base: Path, **values: object) -> dict[str, object]:
    return shaping(from_values(TrainNetworkOptions, {"pretrained_model_name_or_path": str(base), **values}), seed=1)


def test_another_base_model_of_the_same_name_is_a_change(tmp_path: Path) -> None:
    first, moved = model(tmp_path / "sd1.safetensors"), model(tmp_path / "m3" / "renamed.safetensors")
    other = model(tmp_path / "m2" / "sd1.safetensors", scale=1.05)
    before = of_network(first, vae=str(first), base_weights=[str(first)])
    assert changes(before, of_network(moved, vae=str(moved), base_weights=[str(moved)])) == {}
    found = changes(before, of_network(other, vae=str(other), base_weights=[str(other)]))
    assert found.keys() == {"pretrained_model_name_or_path", "vae", "base_weights"}
    older = before | {"pretrained_model_name_or_path": "sd1.safetensors"}
    assert changes(older, of_network(other, vae=str(first), base_weights=[str(first)])) == {}
    assert changes(older, of_network(moved)).keys() >= {"pretrained_model_name_or_path", "vae"}


def test_a_state_refuses_another_base_model_and_a_branch_lists_it(tmp_path: Path) -> None:
    given = {"max_train_steps": 3, "pretrained_model_name_or_path": str(model(tmp_path / "base.safetensors"))}
    train(tmp_path, **given | {"max_train_steps": 2}, save_state=True)
    state = tmp_path / "out" / "X-state"
    moved = {"pretrained_model_name_or_path": str(model(tmp_path / "moved" / "b.safetensors"))}
    settle(options(tmp_path, **given | moved, resume=str(state)), "full", Recorder().report)
    given["pretrained_model_name_or_path"] = str(model(tmp_path / "other" / "base.safetensors", scale=1.05))
    with pytest.raises(BadOption, match="--pretrained_model_name_or_path base.safetensors .* -> base.safetensors"):
        settle(options(tmp_path, **given, resume=str(state)), "full", Recorder().report)
    # What was fetched from a hub only then is looked at once more.
    with pytest.raises(BadOption, match="--pretrained_model_name_or_path base.safetensors"):
        make_trainer(tmp_path, **given, resume=str(state))
    train(tmp_path, **given, branch=str(state), save_state=True)
    (branch,) = facts_of(state).branches
    assert list(branch["changes"]) == ["pretrained_model_name_or_path"]
    # Where all of the base model's weights come from the state, its name is all that counts.
    whole = shaping(options(tmp_path, **given, train_text_encoder=True))
    assert whole["pretrained_model_name_or_path"] == "base.safetensors"


def copied(data, folder: Path):
    """The same data, its pictures in another folder."""
    shutil.copytree(data.images[0].path.parent, folder)
    moved = [replace(one, image=replace(one.image, path=folder / one.image.path.name)) for one in data.pictures]
    return type(data)(data.datasets, moved)


def repainted(data) -> None:
    """Its first picture exchanged for another of the same size in px."""
    Image.new("RGB", (64, 64), "red").save(data.images[0].path)


def test_pictures_count_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data(latents=False)
    train(tmp_path, data=data, max_train_steps=2, save_state=True, cache_latents=True)
    state = tmp_path / "out" / "X-state"
    moved = copied(data, tmp_path / "moved")
    for image in moved.images:
        os.utime(image.path, (1, 1))
    given = {"resume": str(state), "max_train_steps": 3, "cache_latents": True}
    make_trainer(tmp_path, data=moved, **given)

    repainted(moved)
    with pytest.raises(BadOption, match=r"when it was saved: 0\.png is another picture\. Put .* by --branch") as caught:
        make_trainer(tmp_path, data=moved, **given)
    assert caught.value.option == "resume"
    monkeypatch.setattr(shown, "MOST_READ_BYTES", 0)
    with pytest.raises(BadOption, match=r"0\.png is another picture"):
        make_trainer(tmp_path, data=moved, **given)
    (state / shown.FILE).unlink()
    make_trainer(tmp_path, data=moved, **given)


def test_a_branch_lists_pictures_that_differ(tmp_path: Path) -> None:
    data = tiny_data(latents=False)
    train(tmp_path, data=data, max_train_steps=2, save_state=True, cache_latents=True)
    state = tmp_path / "out" / "X-state"
    repainted(data)
    fewer = type(data)(data.datasets, data.pictures[:3])
    _, recorder = train(tmp_path, data=fewer, branch=str(state), cache_latents=True, save_state=True)
    (branch,) = facts_of(state).branches
    before, now = branch["changes"]["pictures"]
    assert branch["step"] == 2 and before[1:] == ["3.png"]
    assert len(before) == 2 and len(now) == 1 and before[0] != now[0]
    assert all(text.startswith("0.png (") for text in (before[0], now[0]))
    assert "The branch has other pictures or texts: pictures 0.png (" in recorder.said
    assert recorder.of("branched") == [events.Branched(state=str(state), step=2, changes=branch["changes"])]
    assert len(json.loads((state / shown.FILE).read_text())["pictures"]) == 3


def test_what_an_index_knows_counts_and_many_names_are_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "MOST_READ_BYTES", 0)
    data = tiny_data(latents=False)
    folder = data.images[0].path.parent
    assert [one.content for one in shown.shown_of(data.images)] == [""] * 4
    (folder / "0.npz").write_bytes(b"")
    for image in data.images:
        os.utime(image.path, (1, 1))
    known = KnownFiles()
    known.hash_of(data.images[0].path)
    known.note_written(folder / "0.npz", "asked")
    known.keep()
    assert [bool(one.content) for one in shown.shown_of(data.images)] == [True, False, False, False]

    before = [shown.Shown(f"{i}.png", 5, "", "said") for i in range(30)]
    assert shown.named(shown.differences(before, [])).endswith("2.png is missing, and 27 more")
    assert shown.listed(shown.differences(before, []))[0][-1] == "and 10 more"
    said = [one._replace(said="other") for one in before[:1]]
    assert shown.named(shown.differences(before[:1], said)) == "0.png has another text or size in px"
    assert shown.named(shown.differences([], said)) == "0.png is new"
    assert shown.differences(before, [one._replace(size_bytes=0) for one in before]) == []
