"""Pictures on their way to a model, and texts on their way to the disk."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.errors import BadFile
from sd_scripts.library.tagging.feeding import groups
from sd_scripts.library.tagging.folder import SentenceFiles, pictures_to_describe
from sd_scripts.library.tagging.late_texts import LateTexts
from sd_scripts.library.tagging.model_pixels import pixels_for
from sd_scripts.library.tagging.tag_files import TagJson
from sd_scripts.library.tagging.wd14 import Squared
from sd_scripts.options.common import PicturesOptions


def number_of(path):
    """A picture that is its number; every seventh cannot be read."""
    number = int(path.stem)
    if number % 7 == 3:
        raise UnreadableImage("broken")
    return np.array(number)


class Numbers:
    """A describer's part that feeding needs."""

    fixed_batch_size = None

    def __init__(self, threads_read=True):
        self.threads_read = threads_read

    def preparer(self, fast_decode=False):
        return number_of

    def gather(self, images):
        return np.stack(images)


@pytest.mark.parametrize(("threads_read", "workers"), [(True, None), (True, 0), (False, 1)])
def test_batches_are_full_and_in_order_whoever_reads(threads_read, workers):
    paths = [Path(f"{number}.png") for number in range(40)]
    found = list(groups(paths, Numbers(threads_read), 8, workers, fast_decode=False))
    good = [number for number in range(40) if number % 7 != 3]
    assert [len(group.paths) for group in found] == [8, 8, 8, 8, 2]
    assert np.concatenate([group.batch for group in found]).tolist() == good
    failed = [(path.stem, reason) for group in found for path, reason in group.failed]
    assert failed == [(str(number), "broken") for number in range(3, 40, 7)]


def test_leaving_early_ends_the_readers():
    coming = groups([Path(f"{number}.png") for number in (0, 1, 2, 4) * 500], Numbers(), 4, 2, fast_decode=False)
    assert next(coming).batch.tolist() == [0, 1, 2, 4]
    began = time.monotonic()
    coming.close()
    assert time.monotonic() - began < 30


class Stubborn(SentenceFiles):
    """Refuses each picture's text so many times."""

    def __init__(self, refusals):
        super().__init__(".caption")
        self.refusals = refusals

    def write(self, image, result):
        if self.refusals.get(image.stem, 0):
            self.refusals[image.stem] -= 1
            raise BadFile(f"{image.name} is refused")
        return super().write(image, result)


def test_a_text_is_tried_again_and_what_stays_refused_is_listed(tmp_path, said):
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    with LateTexts(Stubborn({"a": 1, "b": 9}), said[0], debug=True) as texts:
        for path, text in zip(paths, ["one", "two", "three"], strict=True):
            texts.put(path, text)
    assert texts.written == 2
    assert said[0].failures == [(str(paths[1]), "b.png is refused")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.caption", "c.caption"]
    assert said[1]().splitlines() == [f"{paths[0]}: one", f"{paths[2]}: three"]


@pytest.fixture
def folder(tmp_path):
    for name in "abcd":
        Image.new("RGB", (2, 2)).save(tmp_path / f"{name}.png")
    (tmp_path / "a.caption").write_text("a\n")
    (tmp_path / "b.caption").write_text("")
    (tmp_path / "c.caption").write_text("c\n")
    os.utime(tmp_path / "c.png", (2e9, 2e9))
    return tmp_path


def test_what_has_its_text_is_left_out_when_asked(folder, said):
    writer = SentenceFiles(".caption")
    every = pictures_to_describe(PicturesOptions(train_data_dir=str(folder)), writer, said[0])
    assert len(every) == 4
    asked = PicturesOptions(train_data_dir=str(folder), skip_described=True)
    assert [path.name for path in pictures_to_describe(asked, writer, said[0])] == ["b.png", "d.png"]
    assert "2 of 4 pictures have their text already." in said[1]()
    assert f"1 of these were changed after their text was written: {folder / 'c.png'}" in said[1]()


def test_tags_in_one_file_are_kept_when_asked(folder, said):
    place = folder / "tags.json"
    before = TagJson(place, ", ", append=False)
    before.write(folder / "a.png", ["one"])
    before.finish(said[0])
    asked = PicturesOptions(train_data_dir=str(folder), skip_described=True)
    writer = TagJson(place, ", ", append=False, keep=True)
    left = pictures_to_describe(asked, writer, said[0])
    assert [path.name for path in left] == ["b.png", "c.png", "d.png"]
    writer.write(left[0], ["two"])
    writer.finish(said[0])
    kept = TagJson(place, ", ", append=False, keep=True)
    assert [path.name for path in pictures_to_describe(asked, kept, said[0])] == ["c.png", "d.png"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    from benchmarks.photographs import photograph

    path = tmp_path_factory.mktemp("photo") / "a.jpg"
    Image.fromarray(photograph(1500, 1000, 1)).save(path, quality=90)
    return path


def test_a_reduced_jpeg_differs_by_less_than_a_hundredth(photo):
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    exact, fast = (Squared(448, fast)(photo).astype(int) for fast in (False, True))
    assert 0 < np.abs(exact - fast).mean() < 1.0 and np.percentile(np.abs(exact - fast), 99.9) <= 10
    processor = CLIPImageProcessorPil(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224})
    whole = pixels_for(processor)(photo)
    theirs = processor(images=Image.open(photo), return_tensors="np")["pixel_values"][0]
    assert whole.shape == theirs.shape and np.abs(whole - theirs).max() < 1e-5
    assert 0 < np.abs(pixels_for(processor, fast=True)(photo) - whole).mean() < 0.01


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("size_px", [(1499, 1000), (1401, 747), (1500, 1001), (1081, 1351)])
def test_a_reduced_jpeg_lies_where_the_whole_one_does(photo, tmp_path, size_px, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    with Image.open(photo) as whole:
        whole.resize((1500, 1400)).crop((0, 0, *size_px)).save(tmp_path / "a.jpg", quality=90, exif=exif)
    exact, fast = (Squared(448, fast)(tmp_path / "a.jpg").astype(int) for fast in (False, True))
    # Where a picture lies a third of a pixel beside, it is 1.1 to 3.
    assert np.abs(exact - fast).mean() < 0.9


@pytest.mark.parametrize("size", [(50, 33), (33, 50), (20, 20), (31, 95)])
def test_pixels_are_those_of_transformers(size, tmp_path):
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    image = Image.fromarray(np.random.default_rng(4).integers(0, 256, (*size, 3), dtype=np.uint8))
    image.save(tmp_path / "a.png")
    for crop in (24, 31):
        processor = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": crop, "width": 24})
        theirs = processor(images=image, return_tensors="np")["pixel_values"][0]
        assert np.abs(pixels_for(processor)(tmp_path / "a.png") - theirs).max() < 1e-5


def test_blip_with_shared_attention_gives_the_same_sentences(models):
    import torch
    from transformers import BlipForConditionalGeneration

    from sd_scripts.library.tagging.blip import Blip, load_blip
    from sd_scripts.options.captioning import BlipOptions

    images = np.random.default_rng(5).normal(size=(5, 3, 32, 32)).astype(np.float32)
    parts = load_blip(models("blip"))
    options = BlipOptions(beam_search=True, num_beams=3, min_length=8, max_length=16)
    ours = Blip(parts, options).describe(images, [Path(str(number)) for number in range(5)])
    theirs = BlipForConditionalGeneration.from_pretrained(models("blip")).eval()
    prompt = parts.tokenizer(["a picture of "] * 5, return_tensors="pt")["input_ids"]
    given = {"input_ids": prompt.clone(), "attention_mask": torch.ones_like(prompt)}
    lengths = {"min_length": 8, "max_length": 16}
    words = theirs.generate(pixel_values=torch.from_numpy(images), num_beams=3, do_sample=False, **given, **lengths)
    said = parts.tokenizer.batch_decode(words[:, prompt.shape[1] - 1 :], skip_special_tokens=True)
    assert ours == [text.strip() for text in said]
    assert len(set(ours)) > 1
