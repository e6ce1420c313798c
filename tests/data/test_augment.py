"""How pictures are changed each time they are shown."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.data import augment, faces, picture_rules
from sd_scripts.library.data.augment import View, draw_view, see
from sd_scripts.library.data.buckets import Fit, cover
from sd_scripts.library.data.faces import Face
from sd_scripts.library.data.images import open_image_with_alpha
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.options.pictures import PictureOptions
from tests.data.bad_pictures import GREEN, ODD, RED, quarters, write_pictures

ITEM, MOMENT = Item(3, 0), Moment(epoch=2, seed=7)
WHOLE = Fit((96, 64), (96, 64))


def ramp(width_px: int = 32, height_px: int = 16, alpha: bool = False) -> Image.Image:
    """Every pixel tells its place: red is x, green is y; alpha is 8 times x."""
    y, x = np.mgrid[:height_px, :width_px].astype(np.uint8)
    bands = [x, y, np.full_like(x, 200), x * 8 if alpha else np.full_like(x, 255)]
    return Image.fromarray(np.stack(bands, axis=-1))


def moments(count: int = 400) -> list[tuple[Item, Moment]]:
    return [(Item(i % 20, i % 3), Moment(epoch=i // 20, seed=5)) for i in range(count)]


# --- rules


def test_options_become_rules() -> None:
    assert picture_rules.picture_rules(PictureOptions()) == PictureRules()
    given = PictureOptions(
        flip_aug=True,
        color_aug=True,
        random_crop=True,
        face_crop_aug_range="2.0, 4",
        alpha_mask=True,
        resize_interpolation="bicubic",
    )
    assert picture_rules.picture_rules(given) == PictureRules(True, True, True, (2.0, 4.0), True, "bicubic")


def test_what_changes_pixels_is_named() -> None:
    assert PictureRules(flip_aug=True, alpha_mask=True, resize_interpolation="area").changing == ()
    assert PictureRules(color_aug=True, face_crop_aug_range=(2, 2)).changing == ("color_aug", "face_crop_aug_range")
    assert PictureRules(random_crop=True).changing == ("random_crop",)


@pytest.mark.parametrize("text", ["", "2", "2,3,4", "a,b", "0,2", "-1,2", "nan,2", "1,inf"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadOption) as error:
        picture_rules.parse_face_range(text)
    assert error.value.option == "face_crop_aug_range"
    assert "Write two numbers above 0 such as 2.0,4.0" in str(error.value)


def test_a_range_the_wrong_way_round_is_refused_with_the_right_one() -> None:
    with pytest.raises(BadOption, match="Write the smaller one first: 2.0,4.0"):
        picture_rules.parse_face_range("4,2")


@pytest.mark.parametrize("name", ["color_aug", "random_crop"])
def test_what_changes_pixels_cannot_be_cached(name: str) -> None:
    picture_rules.check_caching(PictureRules(flip_aug=True, alpha_mask=True))
    with pytest.raises(BadOption) as error:
        picture_rules.check_caching(PictureRules(**{name: True}))
    assert error.value.option == name
    assert f"--{name} shows pictures differently each time, so --cache_latents has nothing to keep." in str(error.value)


# --- mirrored


def test_half_of_the_showings_are_mirrored_with_their_masks() -> None:
    rules = PictureRules(flip_aug=True, alpha_mask=True)
    picture, fit = ramp(alpha=True), Fit((32, 16), (32, 16))
    drawn = Counter(draw_view((32, 16), fit, rules, None, *place).mirrored for place in moments())
    assert 160 < drawn[True] < 240
    plain, mask_HW = see(picture, View(fit), rules)
    mirrored, mirrored_mask_HW = see(picture, View(fit, mirrored=True), rules)
    assert mirrored.tolist() == plain[:, ::-1].tolist()
    assert mask_HW is not None and mirrored_mask_HW is not None
    assert mask_HW[0].tolist() == pytest.approx([x * 8 / 255 for x in range(32)])
    assert mirrored_mask_HW.tolist() == mask_HW[:, ::-1].tolist()
    assert not draw_view((32, 16), fit, PictureRules(), None, *moments()[1]).mirrored


# --- crops


def test_a_random_crop_reaches_every_place_of_the_scaled_picture() -> None:
    fit = Fit((40, 35), (32, 32))
    views = [draw_view((40, 35), fit, PictureRules(random_crop=True), None, *place) for place in moments()]
    corners = Counter(view.fit.corner_px for view in views)
    assert set(corners) == {(left, top) for left in range(9) for top in range(4)}
    assert max(corners.values()) < 3 * 400 / 36
    assert draw_view((40, 35), fit, PictureRules(), None, ITEM, MOMENT).fit == fit


def test_the_crop_that_was_drawn_is_the_crop_that_is_made() -> None:
    pixels_HWC, _ = see(ramp(), View(Fit((32, 16), (16, 8), (5, 3))), PictureRules())
    assert pixels_HWC.shape == (8, 16, 3)
    assert pixels_HWC[0, 0].tolist() == [5, 3, 200]
    assert pixels_HWC[-1, -1].tolist() == [20, 10, 200]


def test_faces_stand_in_names_of_files() -> None:
    assert faces.face_of(Path("a/my_cat_320_200_90_110.png")) == Face(320, 200, 90, 110)
    assert faces.face_of(Path("x_0320_0200_0090_0110.webp")) == Face(320, 200, 90, 110)
    for name in ("320_200_90_110.png", "cat.png", "a_1_2_3.png", "a_1_2_0_4.png", "a_1_2_3_x.png", "a_-1_2_3_4.png"):
        assert faces.face_of(Path(name)) is None, name


def face_fits(span: tuple[float, float], face: Face, anywhere: bool = False) -> list[Fit]:
    size, fit = (1000, 800), cover((1000, 800), (256, 256))
    return [faces.face_fit(size, fit, span, face, anywhere, random.Random(i)) for i in range(300)]


def test_a_face_is_shown_in_the_size_that_the_range_says() -> None:
    # A face of 128 px: the picture's 256 px are to be 2 to 4 times as long, so it is scaled by 1 to 1/2.
    fits = face_fits((2.0, 4.0), Face(500, 400, 100, 128))
    scales = [fit.resized_px[0] / 1000 for fit in fits]
    assert 0.5 <= min(scales) < 0.52 and 0.98 < max(scales) <= 1.0
    assert {fit.bucket_px for fit in fits} == {(256, 256)}
    assert all(fit.resized_px[1] == int(fit.resized_px[0] * 0.8 + 0.5) for fit in fits if fit.resized_px[0] % 10 == 0)


def test_one_size_of_face_is_shown_in_the_centre() -> None:
    fits = set(face_fits((4.0, 4.0), Face(500, 400, 128, 100)))
    # Scaled by 256 / (128 * 4) = 1/2: the face's centre 250, 200 is the cut's.
    assert fits == {Fit((500, 400), (256, 256), (250 - 128, 200 - 128))}


def test_a_face_moves_a_little_or_with_random_crop_a_lot() -> None:
    face = Face(500, 400, 128, 128)
    little = {fit.crop_ltrb[0] + 128 - fit.resized_px[0] // 2 for fit in face_fits((2, 2.001), face)}
    assert little == set(range(-6, 7))
    far = [fit.crop_ltrb[0] for fit in face_fits((2, 2), face, anywhere=True)]
    assert min(far) < 100 and max(far) > 644 and min(far) >= 0 and max(far) <= 744
    assert sum(abs(left - 372) < 250 for left in far) > 0.6 * len(far)


def test_small_faces_are_not_moved() -> None:
    assert len({fit.corner_px for fit in face_fits((1, 2), Face(500, 400, 39, 39))}) == 1


def test_a_face_at_the_edge_and_a_small_picture_still_fill_the_bucket() -> None:
    assert set(face_fits((1, 1), Face(2, 798, 256, 256))) == {Fit((1000, 800), (256, 256), (0, 544))}
    fit, face = cover((100, 50), (256, 256)), Face(50, 25, 20, 20)
    assert faces.face_fit((100, 50), fit, (2, 4), face, True, random.Random(0)).resized_px == (512, 256)


def test_pictures_without_a_face_are_cut_as_ever() -> None:
    rules, fit = PictureRules(face_crop_aug_range=(2, 4)), Fit((40, 35), (32, 32))
    assert draw_view((40, 35), fit, rules, None, ITEM, MOMENT).fit == fit
    drawn = draw_view((400, 350), fit, rules, Face(200, 100, 60, 60), ITEM, MOMENT).fit
    assert drawn.corner_px is not None


# --- colours


def test_one_showing_in_three_has_other_colours_hue_or_gamma() -> None:
    draws = [augment.draw_colours(random.Random(i)) for i in range(3000)]
    hues = [hue for hue, _ in draws if hue]
    gammas = [gamma for _, gamma in draws if gamma != 1.0]
    assert 420 < len(hues) < 570 and 420 < len(gammas) < 570
    assert all(hue == 0.0 or gamma == 1.0 for hue, gamma in draws)
    assert -16 <= min(hues) < -15 and 15 < max(hues) <= 16
    assert 0.95 <= min(gammas) < 0.952 and 1.048 < max(gammas) <= 1.05


def test_hue_turns_colours_and_leaves_grey() -> None:
    pixels = np.array([[[255, 0, 0], [128, 128, 128], [0, 0, 255]]], np.uint8)
    # Red turned by 15 degrees is a quarter of the way to yellow; blue is as far on its way to magenta.
    assert augment.recoloured(pixels, 15.0, 1.0).tolist() == [[[255, 64, 0], [128, 128, 128], [64, 0, 255]]]
    assert augment.recoloured(pixels, -15.0, 1.0)[0, 0].tolist() == [255, 0, 64]


def test_gamma_bends_between_black_and_white() -> None:
    pixels = np.array([[[0, 64, 255]]], np.uint8)
    assert augment.recoloured(pixels, 0.0, 1.05).tolist() == [[[0, round(255 * (64 / 255) ** 1.05), 255]]]
    assert augment.recoloured(pixels, 0.0, 1.0) is pixels


def test_every_picture_is_recoloured_at_some_time() -> None:
    rules, fit = PictureRules(color_aug=True), Fit((32, 16), (32, 16))
    views = [draw_view((32, 16), fit, rules, None, ITEM, Moment(epoch=e, seed=1)) for e in range(99)]
    changed = [view for view in views if view.hue_deg or view.gamma != 1.0]
    assert 15 < len(changed) < 55
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8))
    plain, _ = see(image.convert("RGBA"), views[0]._replace(hue_deg=0.0, gamma=1.0), rules)
    assert all((see(image.convert("RGBA"), view, rules)[0] != plain).any() for view in changed)


# --- draws


def test_a_showing_is_the_same_whenever_it_is_drawn() -> None:
    rules = PictureRules(True, True, True)
    fit = Fit((400, 350), (320, 320))

    def drawn(item: Item, moment: Moment) -> View:
        return draw_view((400, 350), fit, rules, None, item, moment)

    first = [drawn(*place) for place in moments(60)]
    assert first == [drawn(*place) for place in reversed(moments(60))][::-1]
    # The step has no say: it depends on batches and accumulation.
    assert drawn(ITEM, MOMENT) == drawn(ITEM, MOMENT._replace(step=9, total_steps=50))
    others = {drawn(ITEM, MOMENT._replace(seed=8)), drawn(ITEM, MOMENT._replace(epoch=3)), drawn(Item(3, 1), MOMENT)}
    assert len(others | {drawn(ITEM, MOMENT)}) == 4


def test_one_kind_of_change_leaves_the_draws_of_the_others() -> None:
    fit = Fit((400, 350), (320, 320))
    for place in moments(40):
        all_of_them = draw_view((400, 350), fit, PictureRules(True, True, True), None, *place)
        assert all_of_them.mirrored == draw_view((400, 350), fit, PictureRules(True), None, *place).mirrored
        assert all_of_them.fit == draw_view((400, 350), fit, PictureRules(random_crop=True), None, *place).fit


# --- masks


def test_transparency_is_the_mask_or_lies_on_white() -> None:
    picture = ramp(alpha=True)
    colours, mask_HW = see(picture, View(Fit((32, 16), (32, 16))), PictureRules(alpha_mask=True))
    assert colours.tolist() == np.asarray(picture)[..., :3].tolist()
    assert mask_HW is not None and mask_HW.dtype == np.float32
    over_white, none = see(picture, View(Fit((32, 16), (32, 16))), PictureRules())
    assert none is None
    assert over_white[3, 0].tolist() == [255, 255, 255]
    assert over_white[3, 16].tolist() == pytest.approx([128 / 255 * c + 127 for c in (16, 3, 200)], abs=1)


def test_a_mask_goes_the_way_of_its_picture() -> None:
    y, x = np.mgrid[:50, :100]
    image = np.stack([x * 2, y, x, x * 2], axis=-1).astype(np.uint8)
    fit = Fit((64, 32), (24, 16), (17, 9))
    pixels_HWC, mask_HW = see(Image.fromarray(image), View(fit, mirrored=True), PictureRules(alpha_mask=True))
    assert mask_HW is not None
    assert (mask_HW * 255).round().tolist() == pixels_HWC[..., 0].tolist()


def test_colours_leave_the_mask_alone() -> None:
    fit, rules = Fit((32, 16), (32, 16)), PictureRules(alpha_mask=True)
    plain = see(ramp(alpha=True), View(fit), rules)
    recoloured = see(ramp(alpha=True), View(fit, hue_deg=10.0, gamma=1.05), rules)
    assert (plain[0] != recoloured[0]).any()
    assert np.array_equal(plain[1], recoloured[1])


def test_a_mask_comes_down_to_latents_by_the_mean_of_eight_by_eight() -> None:
    mask_HW = np.zeros((16, 24), np.float32)
    mask_HW[:8, :8] = 1.0
    mask_HW[8:12, 8:16] = 0.5
    assert augment.latents_mask(mask_HW).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.25, 0.0]]


@pytest.mark.parametrize("name", ["palette.png", "half_transparent.png", "sixteen_bit.png", "turned.jpg", "cmyk.jpg"])
def test_real_files_of_every_kind_have_masks(tmp_path: Path, name: str) -> None:
    (path,) = write_pictures(tmp_path, {name: ODD[name]})
    picture = open_image_with_alpha(path)
    whole = View(Fit(picture.size, picture.size))
    pixels_HWC, mask_HW = see(picture, whole, PictureRules(alpha_mask=True))
    assert mask_HW is not None and mask_HW.shape == pixels_HWC.shape[:2] == picture.size[::-1]
    assert mask_HW[0, 0] == pytest.approx({"palette.png": 0.0, "half_transparent.png": 0.01}.get(name, 1.0), abs=0.01)
    if name == "palette.png":
        assert np.abs(pixels_HWC[0, 0].astype(int) - RED).max() < 5 and mask_HW[0, -1] == 1.0
    if name == "turned.jpg":
        assert pixels_HWC.shape == (96, 64, 3) and np.abs(pixels_HWC[5, 60].astype(int) - RED).max() < 12
    if name == "half_transparent.png":
        assert np.abs(pixels_HWC[1, -1].astype(int) - GREEN).max() == 0
        assert see(picture, whole, PictureRules())[0][0, -1].min() > 250


def test_greyscale_with_alpha_is_read(tmp_path: Path) -> None:
    image = Image.new("LA", (64, 64), (90, 128))
    image.save(tmp_path / "grey.png")
    picture, whole = open_image_with_alpha(tmp_path / "grey.png"), View(Fit((64, 64), (64, 64)))
    pixels_HWC, mask_HW = see(picture, whole, PictureRules(alpha_mask=True))
    assert mask_HW is not None
    assert pixels_HWC[0, 0].tolist() == [90, 90, 90] and mask_HW[0, 0] == pytest.approx(128 / 255)


# --- scaling


def test_ways_to_scale_differ_as_their_names_say() -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)).convert("RGBA")
    fit = cover((96, 64), (36, 24))
    made = {
        way: see(picture, View(fit), PictureRules(resize_interpolation=way))[0].tobytes()
        for way in (None, "lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area")
    }
    assert made["bilinear"] == made["linear"] and made["bicubic"] == made["cubic"] and made[None] == made["area"]
    assert len(set(made.values())) == 5
    assert set(np.frombuffer(made["nearest"], np.uint8)) <= set(np.asarray(picture).ravel())


def test_views_are_told_in_words() -> None:
    view = View(Fit((40, 35), (32, 32), (3, 1)), True, -5.25, 1.0)
    assert view.told() == "scaled to 40 x 35, cut at 3, 1, mirrored, hue -5.2 degrees"
    assert View(WHOLE, gamma=0.97).told() == "scaled to 96 x 64, cut at 0, 0, gamma 0.970"


def test_quarters_are_cut_where_the_face_is() -> None:
    # A face in the middle of the green quarter of a large picture: the cut is green all over.
    picture = quarters(960, 640).convert("RGBA")
    fit, face = cover(picture.size, (64, 64)), Face(720, 160, 60, 60)
    fit = faces.face_fit(picture.size, fit, (2, 2), face, False, random.Random(0))
    pixels_HWC, _ = see(picture, View(fit), PictureRules())
    assert fit.resized_px == (512, 341) and (pixels_HWC == GREEN).all()
