"""Caches are keyed by content: what makes them anew, what does not, and what is said of it."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import checks
from sd_scripts.library.data import latents_files
from sd_scripts.library.data.known_files import KnownFiles
from sd_scripts.library.data.latents_cache import add_latents, cache_path
from sd_scripts.library.data.latents_files import LatentsFiles
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.models.vae import vae_hash
from sd_scripts.library.train.caching import Made
from sd_scripts.library.train.keepers import OnDisk, Written
from sd_scripts.library.train.text_caching import _source, _tell
from sd_scripts.library.train.text_files import MISSING, TextFiles, TextSource, places_of
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_db import TrainDbOptions
from tests.train.tiny import Recorder, tiny_family

LONG_AGO_NS = 10**18
SIZES = {"small": (100, 34), "wide": (192, 64), "square": (100, 100)}


def aged(folder: Path) -> None:
    """Files that were written long ago, so that the index may believe their times."""
    for file in folder.rglob("*.*"):
        os.utime(file, ns=(LONG_AGO_NS, LONG_AGO_NS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures with captions in a folder named for training, and latents on disk as a training makes them."""
    place = tmp_path / "img" / "1_thing"
    place.mkdir(parents=True)
    for seed, (stem, size) in enumerate(SIZES.items()):
        picture(place / f"{stem}.png", size, seed)
        (place / f"{stem}.caption").write_text(f"a {stem} thing", encoding="utf-8")
    aged(place)
    encode(look(place)[0])
    return place


def picture(path: Path, size: tuple[int, int], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def look(place: Path, vae: str = "vae", precision: str = "no", **values: object) -> tuple[PictureData, str]:
    """The data of a training with latents on disk, and what was said."""
    given = {"train_data_dir": str(place.parent), "resolution": "64", "enable_bucket": True, "min_bucket_reso": 32}
    given |= {"max_bucket_reso": 128, "bucket_reso_steps": 32, "cache_latents_to_disk": True} | values
    recorder = Recorder()
    return read_data(from_values(TrainDbOptions, given), recorder.report, vae, "sd", precision), recorder.said


def encode(data: PictureData, precision: str = "no") -> None:
    """Writes the missing latents as a training does, only that the VAE makes nothing of every picture."""
    keeper = OnDisk(data, None)
    for index in keeper.missing():
        source = data.encodable(index, precision)
        size = source.made_from.original_px
        path = cache_path(data.images[index].path, size)
        width, height = source.made_from.fit.bucket_px
        latents_CHW = np.zeros((4, height // 8, width // 8), np.float32)
        mirrored = data.mirrors(index)
        add_latents(path, source, latents_CHW, latents_CHW if mirrored else None)
        files = LatentsFiles(path, path if mirrored else None)
        keeper.take(Made(index, Written(files, size, source.made_from.content_hash, source.stamp)))
    keeper.end()


def made_anew(data: PictureData) -> set[str]:
    return {data.images[index].path.stem for index in data.uncached()}


ALL = set(SIZES)
OPTIONS: list[tuple[dict[str, object], set[str], str]] = [
    ({"vae": "another"}, ALL, "3 as they come from another VAE"),
    ({"precision": "bf16"}, ALL, "3 as they were made in another precision"),
    ({"resolution": "128"}, ALL, "3 as they have another size"),
    ({"enable_bucket": False}, {"wide", "small"}, "2 as they have another size"),
    # Into the same bucket, but cut to its size and no more made smaller.
    ({"bucket_no_upscale": True}, {"small"}, "1 as the picture comes into its bucket in another way"),
    ({"resize_interpolation": "nearest"}, ALL, "3 as they were scaled in another way"),
    ({"flip_aug": True}, ALL, "3 as they have no mirror image"),
    ({"alpha_mask": True}, ALL, "3 as they carry no alpha mask"),
    # All the others change nothing of the latents.
    ({"vae_batch_size": 4}, set(), ""),
    ({"train_batch_size": 3, "seed": 7, "learning_rate": 1.0}, set(), ""),
    ({"caption_extension": ".txt", "shuffle_caption": True, "caption_prefix": "x"}, set(), ""),
    ({"max_token_length": 150, "clip_skip": 2}, set(), ""),
    ({"cache_latents_to_disk": False, "precision": "bf16"}, set(), ""),
    ({"skip_cache_check": True, "vae": "another", "precision": "bf16"}, set(), ""),
]


@pytest.mark.parametrize(("values", "stems", "says"), OPTIONS, ids=[str(values) for values, _, _ in OPTIONS])
def test_an_option_makes_anew_what_depends_on_it(
    folder: Path, values: dict[str, object], stems: set[str], says: str
) -> None:
    data, said = look(folder, **values)
    assert made_anew(data) == stems and says in said
    if not stems:
        assert "Latents on disk" not in said
        return
    assert f"Latents on disk: {3 - len(stems)} fit, {len(stems)} made anew" in said
    encode(data, str(values.get("precision", "no")))
    assert look(folder, **values)[0].uncached() == []


def edit(folder: Path) -> None:
    picture(folder / "wide.png", SIZES["wide"], 8)


def edit_with_the_same_time(folder: Path) -> None:
    Image.new("RGB", SIZES["wide"]).save(folder / "wide.png")
    aged(folder)


def touch(folder: Path) -> None:
    for file in folder.glob("*.png"):
        os.utime(file)


def copy(folder: Path) -> None:
    """As a copy to another drive does: all times are new."""
    shutil.copytree(folder, folder.with_name("1_copy"), copy_function=shutil.copyfile)
    shutil.rmtree(folder)


def rename_both(folder: Path) -> None:
    for file in [*folder.glob("wide*")]:
        file.rename(file.with_name(file.name.replace("wide", "broad")))


def swap(folder: Path) -> None:
    (folder / "wide.png").rename(folder / "x.png")
    (folder / "square.png").rename(folder / "wide.png")
    (folder / "x.png").rename(folder / "square.png")


FILES = {
    "nothing": (lambda folder: None, set()),
    "picture edited": (edit, {"wide"}),
    "picture edited, with its old time of change": (edit_with_the_same_time, {"wide"}),
    "pictures touched": (touch, set()),
    "folder copied": (copy, set()),
    "picture renamed with its latents": (rename_both, set()),
    "picture renamed": (lambda folder: (folder / "wide.png").rename(folder / "new.png"), {"new"}),
    "pictures swapped": (swap, {"wide", "square"}),
    "latents deleted": (lambda folder: next(folder.glob("wide*.npz")).unlink(), {"wide"}),
    "latents cut short": (lambda folder: next(folder.glob("wide*.npz")).write_bytes(b"PK"), {"wide"}),
    "caption edited": (lambda folder: (folder / "wide.caption").write_text("other"), set()),
    "index deleted": (lambda folder: (folder / ".sd_cache.json").unlink(), set()),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_changed_makes_anew_what_came_from_it(folder: Path, name: str) -> None:
    change, stems = FILES[name]
    change(folder)
    where = folder if folder.is_dir() else folder.with_name("1_copy")
    data, _ = look(where)
    assert made_anew(data) == stems
    encode(data)
    assert look(where)[0].uncached() == []


def test_nothing_is_opened_the_second_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: object, **_more: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(latents_files, "read_head", never)
    monkeypatch.setattr(KnownFiles, "hash_of", never)
    assert look(folder)[0].uncached() == []


def test_verifying_sees_what_the_index_cannot(folder: Path) -> None:
    """A picture replaced by one of the same length and time, and a bit turned over in latents, time set back."""
    image, latents = folder / "wide.png", next(folder.glob("square*.npz"))
    image.write_bytes(image.read_bytes()[:-1] + b"\x83")
    data = bytearray(latents.read_bytes())
    place = data.find(b"\x93NUMPY") + 200
    data[place] ^= 1
    times = latents.stat()
    latents.write_bytes(data)
    os.utime(latents, ns=(times.st_atime_ns, times.st_mtime_ns))
    aged_image = (LONG_AGO_NS, LONG_AGO_NS)
    os.utime(image, ns=aged_image)
    assert look(folder)[0].uncached() == []
    data, said = look(folder, verify_cache=True)
    assert made_anew(data) == {"wide", "square"}
    assert "read again as a whole; 1 are right, 2 are not" in said
    assert "1 fit, 2 made anew: " in said and "1 as they are broken" in said
    assert "1 as the picture has changed since" in said
    encode(data)
    assert look(folder, verify_cache=True)[0].uncached() == []


@pytest.mark.parametrize("what", checks.LOOKS)
def test_the_benchmark_looks_twice_at_the_same_files(tmp_path: Path, what: str) -> None:
    checks.fill(tmp_path, 5)
    look = checks.measured(what, tmp_path, 5)
    assert (look.what, look.files) == (what, 5) and look.second_per_s > 0
    assert look.rows()[0].what.startswith(what) and look.rows()[0].goal


def test_files_of_other_programs_are_trusted_by_their_size(folder: Path) -> None:
    """They do not say what they were made from; a picture that changes is not noticed beside them."""
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            np.savez(path, latents=arrays["latents"], original_size=arrays["original_size"])
    edit(folder)
    for _ in range(2):
        assert look(folder, vae="another")[0].uncached() == []


def test_a_half_size_copy_of_a_vae_is_the_same_vae() -> None:
    vae, other = tiny_family().vae, tiny_family(1).vae
    exact = vae_hash(vae)
    assert vae_hash(vae.half()) == exact == vae_hash(vae.float())
    assert vae_hash(other) != exact


# Texts


SOURCE = TextSource("encoders", 75, 0, False, "no")


@pytest.fixture
def texts(tmp_path: Path) -> TextFiles:
    """What text encoders made of two captions, of three pictures, in files."""
    captions = [(tmp_path / f"{stem}.png", f"a {stem[0]}") for stem in ("one", "two", "three")]
    files = TextFiles(places_of(captions), SOURCE, ("hidden_BLD",), KnownFiles())
    for lacking in files.lacking():
        assert lacking.reason == MISSING
        files.write(lacking.caption, lacking.path, {"hidden_BLD": torch.zeros(77, 4)})
        files.note_written(lacking.caption, lacking.path)
    files.known.keep()
    return files


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"encoders_hash": "others"}, "they come from other text encoders"),
        ({"max_tokens": 150}, "they are of another length (max_token_length)"),
        ({"layer": 2}, "they are of another layer (clip_skip)"),
        ({"weighted": True}, "brackets in captions counted otherwise (weighted_captions)"),
        ({"precision": "bf16"}, "they were made in another precision"),
    ],
)
def test_texts_are_made_anew_where_the_encoders_or_their_use_differ(
    texts: TextFiles, change: dict[str, object], reason: str
) -> None:
    asked = replace(texts, source=SOURCE._replace(**change), known=KnownFiles())
    assert [one.reason for one in asked.lacking()] == [reason] * 3 * bool(reason)
    assert asked.find("a o") is None if reason else asked.find("a o")
    trusting = replace(asked, trusting=True)
    assert len(trusting.lacking()) == (3 if "max_tokens" in change else 0)


def test_a_caption_that_changed_is_encoded_anew_and_counted(texts: TextFiles, tmp_path: Path) -> None:
    captions = [(tmp_path / f"{stem}.png", f"a {stem[0]}") for stem in ("one", "two")] + [(tmp_path / "three.png", "x")]
    asked = replace(texts, places=places_of(captions), known=KnownFiles())
    (lacking,) = asked.lacking()
    assert lacking == ("x", tmp_path / "three_te_outputs.npz", "the caption has changed")
    recorder = Recorder()
    _tell([lacking], 3, True, recorder.report)
    assert "Encoded captions on disk: 2 fit, 1 made anew: 1 as the caption has changed." in recorder.said
    assert "Verified: encoded captions were read again as a whole; 2 are right, 1 are not." in recorder.said


def test_verifying_reads_texts_to_the_end(texts: TextFiles, tmp_path: Path) -> None:
    path = tmp_path / "one_te_outputs.npz"
    data, times = bytearray(path.read_bytes()), path.stat()
    data[data.find(b"\x93NUMPY") + 300] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert replace(texts, known=KnownFiles()).lacking() == []
    (lacking,) = replace(texts, known=KnownFiles(trusting=False)).lacking()
    assert lacking.path == path and lacking.reason == "they are broken"


def test_what_texts_depend_on_is_taken_from_the_options() -> None:
    family = tiny_family()
    options = from_values(TrainDbOptions, {})

    def source(family=family, **settings):
        return _source(family, SimpleNamespace(settings=TextSettings(**settings)), options)

    # The last layer is the same whether or not it is named.
    assert source() == source(clip_skip=1) != source(clip_skip=2)
    assert len({source(), source(max_tokens=150), source(weighted=True), source(tiny_family(1))}) == 4
