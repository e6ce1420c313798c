"""The loop that all captioners and taggers share."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.errors import BadFile, BadOption, NothingUsable
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.folder import (
    NO_WORDS,
    SentenceFiles,
    check_room,
    describe_pictures,
    pictures_to_describe,
)
from sd_scripts.options.common import LoadingOptions, PicturesOptions


def first_pixel(path):
    with Image.open(path) as image:
        return np.array(image.getpixel((0, 0)))


class Namer:
    """A describer that says the first pixel's red, and remembers its batches."""

    threads_read = True

    def __init__(self, fixed_batch_size=None):
        self.fixed_batch_size = fixed_batch_size
        self.batches = []

    def preparer(self, fast_decode=False):
        return first_pixel

    def gather(self, images):
        return np.stack(images)

    def describe(self, images, paths):
        self.batches.append((len(images), len(paths)))
        return [f"red {pixel[0]}" for pixel in images[: len(paths)]]


@pytest.fixture
def five(tmp_path):
    for red in range(5):
        Image.new("RGB", (2, 2), (red, 0, 0)).save(tmp_path / f"{red}.png")
    return sorted(tmp_path.iterdir())


def run(images, describer, said, batch_size=2):
    loading = LoadingOptions(batch_size=batch_size, max_data_loader_n_workers=0)
    pictures = PicturesOptions(train_data_dir="")
    describe_pictures(images, describer, SentenceFiles(".caption"), pictures, loading, said[0])


class Speechless(Namer):
    def describe(self, images, paths):
        return ["" if said == "red 1" else said for said in super().describe(images, paths)]


def test_where_a_model_has_no_words_the_text_that_is_there_stays(five, said):
    five[1].with_suffix(".caption").write_text("by hand\n")
    run(five, Speechless(), said)
    assert said[0].failures == [(str(five[1]), NO_WORDS)]
    assert [path.with_suffix(".caption").read_text() for path in five[:3]] == ["red 0\n", "by hand\n", "red 2\n"]


def test_every_picture_gets_its_own_text(five, said):
    describer = Namer()
    run(five, describer, said)
    assert describer.batches == [(2, 2), (2, 2), (1, 1)]
    assert [path.with_suffix(".caption").read_text() for path in five] == [f"red {red}\n" for red in range(5)]


def test_a_fixed_batch_is_filled_up(five, said):
    describer = Namer(fixed_batch_size=3)
    run(five, describer, said)
    assert describer.batches == [(3, 3), (3, 2)]
    assert five[4].with_suffix(".caption").read_text() == "red 4\n"
    assert "The model takes 3 pictures at a time" in said[1]()


def test_a_stop_keeps_what_is_done(five, said):
    said[0].ask("stop")
    run(five, Namer(), said)
    assert sorted(path.name for path in five[0].parent.glob("*.caption")) == ["0.caption", "1.caption"]
    assert "Stopped as asked: 2 of 5 pictures described, 3 not reached." in said[1]()


def test_pictures_that_would_share_a_text_are_not_mixed_up(five, said):
    twin = five[0].with_suffix(".webp")
    Image.new("RGB", (2, 2), (200, 0, 0)).save(twin, lossless=True)
    run([*five, twin], Namer(), said)
    assert five[0].with_suffix(".caption").read_text() == "red 0\n"
    assert "its text would overwrite that of 0.png" in said[1]()


def test_nothing_usable(tmp_path, said):
    with pytest.raises(NothingUsable):
        run([tmp_path / "gone.png"], Namer(), said)


def test_no_pictures_is_said(tmp_path, said):
    with pytest.raises(BadOption, match="no pictures here"):
        pictures_to_describe(PicturesOptions(train_data_dir=str(tmp_path)), SentenceFiles(".caption"), said[0])


@pytest.mark.skipif(os.name == "nt", reason="folders have no such permissions there")
def test_a_folder_that_cannot_be_written_to_stops_before_any_work():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chmod(folder, 0o555)
        was = os.geteuid()
        if was == 0:
            # The superuser may write everywhere.
            os.seteuid(65534)
        try:
            with pytest.raises(BadFile, match="cannot be written to"):
                check_room(folder)
        finally:
            os.seteuid(was)
        os.chmod(folder, 0o755)
        check_room(folder)
        assert list(folder.iterdir()) == []


def test_a_broken_picture_fails_no_run_that_keeps_the_texts_of_others(five):
    (five[0].parent / "broken.png").write_bytes(b"no picture")
    asked, writer = PicturesOptions(train_data_dir=str(five[0].parent), skip_described=True), SentenceFiles(".caption")
    for described in (5, 0):
        said = io.StringIO()
        report = Report(out=said)
        run(pictures_to_describe(asked, writer, report), Namer(), (report,))
        assert f"Done: {described} of {described + 1} pictures described." in said.getvalue()


def test_where_nothing_can_be_used_it_is_listed_once(five, said):
    broken = five[0].parent / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(NothingUsable):
        run([broken], Namer(), said)
    # As a program does with what its work failed with.
    said[0].list_failures()
    assert said[1]().count("left out: ") == 1
