"""Grids: columns, their models, labels and seeds."""

import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from sd_scripts.library.generate.columns import Column, by_model, word_of
from sd_scripts.library.generate.grid import Table, draw_grid
from sd_scripts.library.generate.kinds import kind_of_file
from tests.generate.conftest import pixels, vectors_of, write_embedding

PROMPTS = ("--prompt", "a red cat\na zork")


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """Files of every kind, as a training leaves them."""
    embedding = tmp_path_factory.mktemp("trained") / "zork-000004.safetensors"
    write_embedding(embedding, emb_params=vectors_of(world / "base.safetensors", "red cat"))
    return ["cat-000001.safetensors", "other.safetensors", "cat.safetensors", str(embedding)]


def test_prompts_by_strengths_by_files(draw, trained, tmp_path):
    grid = ("--grid", *trained, "base.safetensors", "--grid_multipliers", "0", "1", "0.5")
    drawn = draw(*PROMPTS, *grid)
    told = {(event.index, event.step): pixels(event.path) for event in drawn.of("sample")}
    labels = {event.step: event.label for event in drawn.of("sample")}
    assert list(dict(sorted(labels.items())).values()) == [
        "base", "cat-000001 x1", "cat-000001 x0.5", "other", "cat x1", "cat x0.5", "zork-000004", "base"
    ]  # fmt: skip
    assert len(told) == 16
    # Each model is loaded once, and what one column adds is gone in the next.
    assert drawn.said.count("Loading ") == 3
    for row in (0, 1):
        assert np.array_equal(told[row, 0], told[row, 7])
    columns = [told[0, column] for column in (0, 1, 2, 3, 4, 5)]
    assert all(not np.array_equal(one, two) for place, one in enumerate(columns) for two in columns[:place])
    # The embedding, whose word is its name without the epoch, is "red cat".
    assert np.array_equal(told[0, 6], told[0, 0])
    assert not np.array_equal(told[1, 6], told[1, 0])
    (sheet,) = (tmp_path / "out").glob("grid_*.png")
    height, width, _ = pixels(sheet).shape
    assert width > 8 * 64 and height > 2 * 64


def test_one_model_is_in_memory_at_a_time(draw, monkeypatch):
    from sd_scripts.library.generate import opening

    load, loaded, alive = opening.load_family, [], []

    def watched(*given):
        alive.append(sum(model() is not None for model in loaded))
        family = load(*given)
        loaded.append(weakref.ref(family.unet))
        return family

    monkeypatch.setattr(opening, "load_family", watched)
    draw("--prompt", "a", "--grid", "cat.safetensors", "other.safetensors", "two.safetensors")
    assert alive == [0, 0, 0]


def test_all_cells_of_a_row_have_its_seed(draw):
    drawn = draw(*PROMPTS, "--images_per_prompt", "2", "--grid", "base.safetensors", "other.safetensors")
    seeds = [Image.open(event.path).text["seed"] for event in drawn.of("sample")]
    assert seeds == ["7", "8"] * 4
    assert {event.index for event in drawn.of("sample")} == {0, 1, 2, 3}


def test_strengths_of_what_is_always_there(draw):
    given = ("--network_weights", "cat.safetensors", "--grid_multipliers", "0", "1")
    drawn = draw("--prompt", "a red cat", *given)
    assert [event.label for event in drawn.of("sample")] == ["x0", "x1"]
    assert np.array_equal(drawn.pictures[0], draw("--prompt", "a red cat", out="plain").pictures[0])
    assert not np.array_equal(*drawn.pictures)


def test_a_stop_leaves_what_was_drawn(draw, tmp_path, monkeypatch):
    from sd_scripts.library.report import Report

    left = iter([False] * 4)
    monkeypatch.setattr(Report, "stop_asked", lambda self: next(left, True))
    drawn = draw(*PROMPTS, "--grid", "cat.safetensors", "other.safetensors")
    assert 0 < len(drawn.pictures) < 4
    assert len(list((tmp_path / "out").glob("grid_*.png"))) == 1


def test_labels_and_cells(tmp_path):
    Image.new("RGB", (60, 40), (255, 0, 0)).save(tmp_path / "red.png")
    sheet = draw_grid(Table(["left", "名前"], ["a prompt"], [[tmp_path / "red.png", None]]))
    colours = np.asarray(sheet)
    red = (colours == (255, 0, 0)).all(axis=2)
    assert red.sum() == 60 * 40
    top, left = np.argwhere(red).min(axis=0)
    assert (colours[:top, left : left + 60] < 128).any(), "the column's label stands above it"
    assert (colours[top:, :left] < 128).any(), "the row's label stands beside it"
    assert (colours[:top, left + 60 :] < 128).any()


def test_a_model_is_the_same_however_its_path_is_written(tmp_path, monkeypatch):
    (tmp_path / "m.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    columns = [Column("a", "m.safetensors"), Column("b", "hub/id"), Column("c", str(tmp_path / "m.safetensors"))]
    assert by_model(columns) == [("m.safetensors", [0, 2]), ("hub/id", [1])]


def test_words_of_embeddings():
    files = ("zork.pt", "zork-000004.safetensors", "zork-step00000100.safetensors", "zork-4.pt")
    assert [word_of(file) for file in files] == ["zork", "zork", "zork", "zork-4"]


@pytest.mark.parametrize("layer", ["lora_unet_mid_block", "oft_unet_mid_block"])
def test_networks_of_every_kind_are_known(tmp_path, layer):
    """Also those that have no tensors of LoRA."""
    file = tmp_path / "net.safetensors"
    write_embedding(file, **{f"{layer}.oft_blocks": torch.zeros(2, 4, 4), f"{layer}.alpha": torch.zeros(())})
    assert kind_of_file(str(file), "grid") == "network"
