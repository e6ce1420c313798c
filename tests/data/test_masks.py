"""Mask pictures: which of them belongs to which picture, and what of a picture counts."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report
from sd_scripts.library.train.checks.data import check_data
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values
from tests.data.bad_pictures import write_named


def asked(tmp_path: Path, **options: object) -> FineTuneOptions:
    entries = {stem: {"caption": "a cat"} for stem in ("a", "b")}
    (tmp_path / "meta.json").write_text(json.dumps(entries), encoding="utf-8")
    given = {"in_json": str(tmp_path / "meta.json"), "train_data_dir": str(tmp_path / "pics"), "resolution": "64"}
    masks = {"masked_loss": True, "conditioning_data_dir": str(tmp_path / "masks")}
    return from_values(FineTuneOptions, given | masks | options)


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    write_named(tmp_path / "pics", ("a.png", "b.png"))
    return tmp_path / "pics"


def half_mask(path: Path, size: tuple[int, int] = (96, 64)) -> None:
    """Black at the left, white at the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("RGB", size)
    mask.paste((255, 0, 0), (size[0] // 2, 0, *size))
    mask.save(path)


def test_a_mask_is_scaled_and_mirrored_with_its_picture(pics: Path, tmp_path: Path) -> None:
    half_mask(tmp_path / "masks" / "below" / "a.webp", (192, 128))
    out = io.StringIO()
    data = read_data(asked(tmp_path, flip_aug=True), Report(out=out))
    assert "1 of 2 pictures have a mask; of the others every place counts." in out.getvalue()
    seen = [data.load(Item(0, repeat), Moment()) for repeat in range(12)]
    left = {bool(example.mask_HW[0, 0]) for example in seen}
    assert left == {False, True}
    for example in seen:
        mirrored = "mirrored" in example.seen
        assert example.mask_HW[:, :3].mean() == mirrored and example.mask_HW[:, 5:].mean() == (not mirrored)
    assert data.load(Item(1, 0), Moment()).mask_HW is None


def test_a_mask_goes_with_latents_from_a_file(pics: Path, tmp_path: Path) -> None:
    half_mask(tmp_path / "masks" / "a.png")
    np.savez(pics / "a.npz", np.zeros((4, 8, 8), np.float32))
    example = read_data(asked(tmp_path), Report(out=io.StringIO())).load(Item(0, 0), Moment())
    assert example.latents_CHW is not None
    assert example.mask_HW[:, :4].max() == 0 and example.mask_HW[:, 4:].min() == 1


def test_with_transparency_a_place_counts_as_the_product(pics: Path, tmp_path: Path) -> None:
    half_mask(tmp_path / "masks" / "a.png")
    picture = Image.open(pics / "a.png").convert("RGBA")
    picture.putalpha(Image.fromarray(np.repeat([[0], [255]], 32, axis=0).repeat(96, axis=1).astype(np.uint8)))
    picture.save(pics / "a.png")
    mask_HW = read_data(asked(tmp_path, alpha_mask=True), Report(out=io.StringIO())).load(Item(0, 0), Moment()).mask_HW
    assert mask_HW.mean() == pytest.approx(0.25) and mask_HW[4:, 4:].min() == 1


def test_masks_of_equal_names_go_by_their_folders(pics: Path, tmp_path: Path) -> None:
    half_mask(tmp_path / "masks" / "pics" / "a.png")
    half_mask(tmp_path / "masks" / "others" / "a.png")
    data = read_data(asked(tmp_path), Report(out=io.StringIO()))
    assert data.pictures[0].mask == tmp_path / "masks" / "pics" / "a.png"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"masked_loss": False}, "is not used without --masked_loss"),
        ({"conditioning_data_dir": None}, "--masked_loss has no masks"),
        ({"conditioning_data_dir": "nowhere"}, "conditioning_data_dir nowhere: there is no folder of that name"),
    ],
)
def test_what_cannot_be_is_told_before(pics: Path, tmp_path: Path, options: dict[str, object], says: str) -> None:
    half_mask(tmp_path / "masks" / "a.png")
    with pytest.raises(BadOption, match=says):
        check_data(asked(tmp_path, **options))
    check_data(asked(tmp_path))


def test_two_masks_of_one_picture_are_refused(pics: Path, tmp_path: Path) -> None:
    for name in ("a.png", "a.webp"):
        half_mask(tmp_path / "masks" / name)
    with pytest.raises(BadOption, match="are both masks of"):
        read_data(asked(tmp_path), Report(out=io.StringIO()))
