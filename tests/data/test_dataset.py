"""The data of fine-tuning, from metadata files of every kind."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sd_scripts.library.data import metadata_subset
from sd_scripts.library.data.debug_dataset import show
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.picture_folder import PictureFolder
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable
from sd_scripts.library.events import from_line
from sd_scripts.library.report import Report
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values
from tests.data.bad_pictures import BROKEN, quarters, write_named, write_pictures


class Told(Report):
    """A report whose lines can be read."""

    def __init__(self, events_path: Path | None = None) -> None:
        self.lines = io.StringIO()
        super().__init__(events_path, out=self.lines)


def read(
    folder: Path | str | None,
    entries: object,
    tmp_path: Path,
    resolution: str | None = None,
    told: Told | None = None,
    **options: object,
) -> PictureData:
    meta = tmp_path / "meta.json"
    meta.write_text(entries if isinstance(entries, str) else json.dumps(entries), encoding="utf-8")
    if isinstance(entries, str) and not entries.startswith(("{}", "[")):
        meta = meta.rename(meta.with_suffix(".jsonl"))
    given = {"train_data_dir": folder and str(folder), "in_json": str(meta), "resolution": resolution}
    return read_data(from_values(FineTuneOptions, given | options), told or Told())


def save_latents(path: Path, value: float, bucket: tuple[int, int] = (128, 64)) -> None:
    np.savez(path, np.full((4, bucket[1] // 8, bucket[0] // 8), value, np.float32))


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    write_named(tmp_path / "pics", ("a.png", "b.png", "猫 の.png"))
    return tmp_path / "pics"


READY = {"train_resolution": [128, 64]}


def test_stems_relative_paths_and_full_paths_name_pictures(pics: Path, tmp_path: Path) -> None:
    (pics / "below").mkdir()
    quarters().save(pics / "below" / "c.d.png")
    entries = {
        "a": {"caption": "one\ntwo", "tags": "t1, t2"},
        "b.png": {"tags": "only tags"},
        str(pics / "猫 の.png"): {"caption": "only a caption"},
        "below/c.d": {"caption": "deep"},
    }
    data = read(pics, entries, tmp_path, "64")
    assert [image.path.name for image in data.images] == ["a.png", "b.png", "猫 の.png", "c.d.png"]
    assert [image.text for image in data.images] == ["one, t1, t2", "only tags", "only a caption", "deep"]
    assert {image.bucket_px for image in data.images} == {(64, 64)}


def test_a_relative_folder_and_no_folder(pics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(read("pics", {"a": {"tags": "x"}}, tmp_path, "64").images) == 1
    assert len(read(None, {str(pics / "a.png"): {"tags": "x"}}, tmp_path, "64").images) == 1
    assert len(read(None, {os.path.join("pics", "a.png"): {"tags": "x"}}, tmp_path, "64").images) == 1


def test_json_lines(pics: Path, tmp_path: Path) -> None:
    rows = [{"image_path": str(pics / "a.png"), "caption": "c", "tags": "t"}, {"image_path": "b.png", "tags": "u"}]
    data = read(pics, "\n".join(map(json.dumps, rows)), tmp_path, "64")
    assert [image.text for image in data.images] == ["c, t", "u"]


def test_buckets_come_from_the_metadata_else_from_the_resolution(pics: Path, tmp_path: Path) -> None:
    Image.new("RGB", (900, 300)).save(pics / "b.png")
    entries = {"a": {"tags": "x", "train_resolution": [130, 71]}, "b": {"tags": "x"}}
    assert [i.bucket_px for i in read(pics, entries, tmp_path, "512").images] == [(128, 64), (512, 512)]
    wide = read(pics, entries, tmp_path, "512", enable_bucket=True)
    assert [i.bucket_px for i in wide.images] == [(128, 64), (832, 256)]


def test_what_is_left_out_is_counted_and_said(pics: Path, tmp_path: Path) -> None:
    write_pictures(pics, BROKEN)
    told = Told()
    entries = {"a": {"tags": "x"} | READY, "b": {"caption": " \n"}, "gone": {"tags": "x"}, "text": {"tags": "x"}}
    data = read(pics, entries, tmp_path, "64", told)
    assert [image.key for image in data.images] == ["a"]
    lines = told.lines.getvalue()
    assert "1 have no text" in lines and "1 have no picture" in lines and "1 cannot be read" in lines
    # 猫 の, empty, and four truncated ones.
    assert "which are not trained: 6" in lines
    assert {Path(item).name for item, _ in told.failures} == {"gone", "text.png"}


@pytest.mark.parametrize("again", ["a", "a.png"])
def test_no_picture_is_trained_twice_with_two_texts(pics: Path, tmp_path: Path, again: str) -> None:
    told = Told()
    rows = [{"image_path": key, "tags": tags} for key, tags in (("a", "first"), ("b", "b"), (again, "second"))]
    data = read(pics, "\n".join(map(json.dumps, rows)), tmp_path, "64", told)
    assert [(image.key, image.text) for image in data.images] == [("a", "first"), ("b", "b")]
    assert "1 name a picture that was named before" in told.lines.getvalue()
    assert told.failures == [(again, "an entry before it names the same picture")]


def test_without_any_size_the_resolution_is_asked_for(pics: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="--resolution is needed, such as 512,512") as caught:
        read(pics, {"a": {"tags": "x"}}, tmp_path)
    assert caught.value.option == "resolution"
    # With some prepared, the others are left out.
    assert len(read(pics, {"a": {"tags": "x"}, "b": {"tags": "x"} | READY}, tmp_path).images) == 1


@pytest.mark.parametrize(
    ("folder", "entries", "option", "sentence"),
    [
        ("pics", {"x": {"tags": "t"}}, "train_data_dir", 'such as "x", but none of them is in .*pics. Name the folder'),
        (
            "pics",
            {"/gone/x.png": {"tags": "t"}},
            "in_json",
            "none of them is where it says. If the pictures were moved",
        ),
        (None, {"a": {"tags": "t"}}, "train_data_dir", "Add --train_data_dir"),
        ("pics", {}, "in_json", "has no entries"),
        ("nowhere", {"a": {"tags": "t"}}, "train_data_dir", "there is no folder of that name"),
        ("empty", {"a": {"tags": "t"}}, "train_data_dir", "no pictures here"),
    ],
)
def test_no_data_is_one_clear_sentence(
    pics: Path, tmp_path: Path, folder: str | None, entries: object, option: str, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadOption, match=sentence) as caught:
        read(folder and tmp_path / folder, entries, tmp_path, "64")
    assert caught.value.option == option


def test_nothing_usable_says_why(pics: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingUsable, match="has 2 entries, of which 1 have no text, 1 have no picture"):
        read(pics, {"a": {"tags": ""}, "gone": {"tags": "x"}}, tmp_path, "64")


def test_bad_metadata_is_said(pics: Path, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="train_resolution"):
        read(pics, {"a": {"tags": "x", "train_resolution": [0, 64]}}, tmp_path)
    with pytest.raises(BadOption, match="both called"):
        quarters().save(pics / "a.jpg")
        read(pics, {"a": {"tags": "x"}}, tmp_path, "64")
    with pytest.raises(BadOption, match="caption_separator"):
        read(pics, {"b": {"tags": "x"}}, tmp_path, "64", caption_separator="")


def test_plans_are_complete_uniform_and_the_same_every_time(tmp_path: Path) -> None:
    pics = tmp_path / "many"
    names = tuple(f"{n}.png" for n in range(12))
    write_named(pics, names)
    entries = {str(n): {"tags": "x", "train_resolution": [64 + 64 * (n % 2), 64]} for n in range(12)}
    for n in range(5):
        save_latents(pics / f"{n}.npz", n, (64 + 64 * (n % 2), 64))
    data = read(pics, entries, tmp_path, dataset_repeats=3, train_batch_size=4)
    plan = data.plan(0, 7)
    assert sorted(item for batch in plan for item in batch) == [Item(n, r) for n in range(12) for r in range(3)]
    for batch in plan:
        assert len({(data.images[i.image].bucket_px, data.has_latents(i.image)) for i in batch}) == 1
    assert plan == read(pics, entries, tmp_path, dataset_repeats=3, train_batch_size=4).plan(0, 7)
    assert plan != data.plan(1, 7)
    data.leave_out(0)
    assert all(item.image for batch in data.plan(0, 7) for item in batch)


def test_captions_derive_from_the_item(pics: Path, tmp_path: Path) -> None:
    data = read(pics, {"a": {"tags": "k, 1, 2, 3, 4, 5"}}, tmp_path, "64", shuffle_caption=True, keep_tokens=1)
    shown = [data.caption(Item(0, r), Moment(e)) for r in range(3) for e in range(3)]
    assert shown == [data.caption(Item(0, r), Moment(e)) for r in range(3) for e in range(3)]
    assert len(set(shown)) > 5 and all(caption.startswith("k, ") for caption in shown)
    assert read(pics, {"a": {"tags": "k,  1"}}, tmp_path, "64").caption(Item(0, 0), Moment()) == "k,  1"


def test_lines_and_tags_reach_the_captions(pics: Path, tmp_path: Path) -> None:
    entries = {
        "a": {"caption": "one\ntwo {x|y}", "tags": "t1, t2"},
        "b": {"caption": "", "tags": "only tags"},
        "猫 の": {"caption": "three\n\nfour\n"},
    }
    options = {"enable_wildcard": True, "caption_prefix": "p"}
    data = read(pics, entries, tmp_path, "64", **options)
    seen = [{data.caption(Item(image, repeat), Moment()) for repeat in range(40)} for image in range(3)]
    assert seen == [
        {"p one, t1, t2", "p two x, t1, t2", "p two y, t1, t2"},
        {"p only tags"},
        {"p three", "p four"},
    ]
    first = read(pics, entries, tmp_path, "64", caption_prefix="p")
    shown = [first.caption(Item(image, 0), Moment()) for image in range(3)]
    assert shown == ["p one, t1, t2", "p only tags", "p three"]
    other = read(pics, {"a": {"caption": "c", "tags": "t1; t2"}}, tmp_path, "64", caption_separator=";")
    assert other.images[0].text == "c; t1; t2"


def test_options_that_change_nothing_are_said(pics: Path, tmp_path: Path) -> None:
    told = Told()
    read(pics, {"a": {"tags": "x"}}, tmp_path, "64", told, keep_tokens=1)
    expected = "--keep_tokens changes nothing without --shuffle_caption or --caption_tag_dropout_rate or"
    assert expected in told.lines.getvalue()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"vae_batch_size": 2}, "--vae_batch_size changes nothing without --cache_latents or --cache_latents_to_disk."),
        ({"vae_batch_size": 2, "cache_latents": True}, None),
        ({"max_bucket_reso": 512}, "--max_bucket_reso changes nothing without --enable_bucket."),
        ({"bucket_no_upscale": True}, "--bucket_no_upscale changes nothing without --enable_bucket."),
        ({"enable_bucket": True, "min_bucket_reso": 64, "max_bucket_reso": 512}, None),
        (
            {"enable_bucket": True, "bucket_no_upscale": True, "min_bucket_reso": 64, "bucket_reso_steps": 8},
            "--min_bucket_reso changes nothing with --bucket_no_upscale",
        ),
        ({"face_crop_aug_range": "2,4"}, "--face_crop_aug_range changes nothing: no picture is named like"),
    ],
)
def test_options_of_pictures_that_change_nothing_are_said(
    pics: Path, tmp_path: Path, options: dict[str, object], sentence: str | None
) -> None:
    told = Told()
    read(pics, {"a": {"tags": "x"}}, tmp_path, "64", told, **options)
    said = told.lines.getvalue()
    assert "changes nothing" not in said if sentence is None else sentence in said


def test_a_resolution_beside_prepared_sizes_is_said(pics: Path, tmp_path: Path) -> None:
    ready, other = {"tags": "x", **READY}, {"tags": "x"}
    expected = "Not used, as the metadata has a prepared size for every picture: --resolution, --enable_bucket."
    for entries, is_said in (({"a": ready, "b": ready}, True), ({"a": ready, "b": other}, False)):
        told = Told()
        read(pics, entries, tmp_path, "256", told, enable_bucket=True)
        assert (expected in told.lines.getvalue()) == is_said


def test_latents_are_drawn_plain_and_mirrored_half_and_half(pics: Path, tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("a_flip", 2.0), ("b", 3.0)):
        save_latents(pics / f"{name}.npz", value)
    data = read(pics, {"a": {"tags": "x"} | READY, "b": {"tags": "x"} | READY}, tmp_path, dataset_repeats=200)
    drawn = [float(data.load(Item(0, r), Moment()).latents_CHW.mean()) for r in range(200)]
    assert 70 < drawn.count(1.0) < 130 and drawn.count(1.0) + drawn.count(2.0) == 200
    assert drawn == [float(data.load(Item(0, r), Moment()).latents_CHW.mean()) for r in range(200)]
    assert drawn != [float(data.load(Item(0, r), Moment(1)).latents_CHW.mean()) for r in range(200)]
    assert {float(data.load(Item(1, r), Moment()).latents_CHW.mean()) for r in range(20)} == {3.0}
    assert data.uncached() == []


def test_pictures_without_latents_that_fit_give_pixels(pics: Path, tmp_path: Path) -> None:
    save_latents(pics / "a.npz", 1.0, (64, 64))
    (pics / "b.npz").write_bytes(b"broken")
    told = Told()
    entries = {"a": {"tags": "x"} | READY, "b": {"tags": "x"} | READY}
    data = read(pics, entries, tmp_path, told=told)
    assert data.uncached() == [0, 1]
    fate = "Latents on disk: 0 fit, 2 encoded each time they are shown"
    assert f"{fate}: 1 as they have another size, 1 as they are broken." in told.lines.getvalue()
    pixels_CHW = data.load(Item(0, 0), Moment()).pixels_CHW
    assert pixels_CHW.shape == (3, 64, 128) and pixels_CHW.dtype == torch.float32
    assert pixels_CHW.min() >= -1 and pixels_CHW.max() <= 1
    # Red above on the left, blue below: 96 x 64 scaled to 128 x 85, cut above and below.
    assert torch.allclose(pixels_CHW[:, 5, 5], torch.tensor([220, 20, 20]) / 127.5 - 1, atol=0.02)
    assert torch.allclose(pixels_CHW[:, 60, 5], torch.tensor([20, 20, 220]) / 127.5 - 1, atol=0.02)

    data.put_latents(0, torch.full((4, 8, 16), 5.0))
    assert data.uncached() == [1]
    assert data.load(Item(0, 0), Moment()).latents_CHW.mean() == 5.0
    data.put_latents(0, torch.full((4, 8, 16), 6.0), mirrored=True)
    assert {float(data.load(Item(0, 0), Moment(e)).latents_CHW.mean()) for e in range(20)} == {5.0, 6.0}
    with pytest.raises(ValueError, match="do not fit"):
        data.put_latents(1, torch.zeros(4, 8, 8))


def test_latents_alone_can_be_trained(tmp_path: Path) -> None:
    pics = tmp_path / "pics"
    pics.mkdir()
    save_latents(pics / "a.npz", 1.0)
    save_latents(pics / "b_0900x0600_sd.npz", 1.0)
    entries = {"a": {"tags": "x"} | READY, "b": {"tags": "x"} | READY, "c": {"tags": "x"} | READY}
    data = read(pics, entries, tmp_path)
    assert [image.key for image in data.images] == ["a", "b"]
    assert data.load(Item(1, 0), Moment()).latents_CHW.shape == (4, 8, 16)


def test_what_breaks_while_training_is_an_unreadable_image(pics: Path, tmp_path: Path) -> None:
    save_latents(pics / "a.npz", 1.0)
    data = read(pics, {"a": {"tags": "x"} | READY, "b": {"tags": "x"} | READY}, tmp_path)
    (pics / "a.npz").write_bytes(b"")
    (pics / "b.png").unlink()
    for index in (0, 1):
        with pytest.raises(UnreadableImage):
            data.load(Item(index, 0), Moment())


def test_debug_shows_what_would_be_trained(pics: Path, tmp_path: Path) -> None:
    save_latents(pics / "a.npz", 1.0)
    write_pictures(pics, BROKEN)
    entries = {
        "a": {"caption": "a cat", "tags": "猫, one two three"} | READY,
        "b": {"tags": "x"},
        "text": {"tags": "y", "train_resolution": [64, 64]},
    }
    data = read(pics, entries, tmp_path, "64", dataset_repeats=2)
    told = Told(tmp_path / "events.jsonl")
    show(data, lambda text: len(text.split()), told, max_tokens=5, per_bucket=1)
    told.close()
    lines = told.lines.getvalue()
    assert "Bucket 128 x 64: 1 picture\n" in lines and "Bucket 64 x 64: 2 pictures" in lines
    assert "(latents 4 x 8 x 16)\n    a cat, 猫, one two three [6 tokens, cut off]" in lines
    assert "(pixels 3 x 64 x 64, scaled to 96 x 64, cut at 16, 0)\n    x [1 token]" in lines
    assert "... and 1 more" in lines
    assert "3 pictures in 2 buckets; 6 showings in 6 batches an epoch; the longest caption has 6 of 5 tokens" in lines
    _, summary = from_line((tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert summary.tables["pictures"][0]["caption"] == "x"
    assert summary.counts["longest_caption_tokens"] == 6
    again = Told()
    show(data, len, again, per_bucket=9, total_steps=20)
    assert "nothing: it is not a picture" in again.lines.getvalue()


def test_debug_shows_captions_at_the_first_step_and_the_longest_of_all(pics: Path, tmp_path: Path) -> None:
    told = Told()
    data = read(pics, {"a": {"tags": "1, 2, 3, 4"}}, tmp_path, "64", token_warmup_step=0.5, token_warmup_min=2)
    show(data, lambda text: len(text.split()), told, total_steps=10)
    assert "1, 2 [2 tokens]" in told.lines.getvalue()
    assert "the longest caption has 4 of 75 tokens" in told.lines.getvalue()
    show(read(pics, {"a": {"tags": "1"}}, tmp_path, "64", caption_dropout_rate=1.0), len, told)
    assert "(no caption) [0 tokens]" in told.lines.getvalue()


def test_many_entries_are_read_a_second_time_and_not_held(
    pics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pics / "b.png").write_bytes(b"no picture")
    entries = {"a": {"caption": "one"}, "gone": {}, "b": {"tags": "t"}, "猫 の": {"caption": "cat"} | READY}

    def found(most: int) -> list[object]:
        monkeypatch.setattr(metadata_subset, "HELD_ENTRIES", most)
        told = Told(tmp_path / "events.jsonl")
        data = read(pics, entries, tmp_path, "64", told)
        return [data.images, told.failures, told.lines.getvalue()]

    held = found(len(entries))
    assert held == found(len(entries) - 1)
    assert len(held[0]) == 2 and len(held[1]) == 2  # type: ignore[arg-type]


def test_every_way_to_name_a_picture_leads_to_it(pics: Path) -> None:
    (pics / "below").mkdir()
    for name in (".hidden.png", "below/c.png", "d.e.PNG"):
        write_named(pics / Path(name).parent, (Path(name).name,))
    folder = PictureFolder(pics)
    ways = {"a": "a.png", "b.png": "b.png", ".hidden": ".hidden.png", "below/c": "below/c.png", "d.e": "d.e.PNG"}
    assert {key: folder.find(key) for key in ways} == {key: str(pics / name) for key, name in ways.items()}
    seen_alike = (pics / "A.PNG").exists()
    assert [folder.find(key) for key in ("gone", "", ".", "gone/a", "\0")] == [None] * 5
    assert (folder.find("A") is not None) == seen_alike
