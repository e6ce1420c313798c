"""The benchmark of samples: it runs, and its bare loop draws the pictures of a training."""

import numpy as np
from PIL import Image

from benchmarks.rows import Given
from benchmarks.sampling import AT_ONCE, QUICK, Bare, Ours, easel, measure
from sd_scripts.library.train.sampling import as_image


def test_every_kind_of_row_is_there(tmp_path):
    picture, single, vae, png = measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert picture.bare and picture.goal and picture.ours > 0 and "SD1.5 tiny" in picture.what
    assert single.ours > 0 and vae.ours > 0 and png.ours > 0


def test_the_bare_loop_draws_the_pictures_of_the_training(tmp_path):
    given = Given("cpu", quick=True, rounds=1, room=tmp_path)
    with easel(QUICK, given) as artist:
        files, pixels_BCHW = Ours(QUICK, artist, given, AT_ONCE).draw(), Bare(QUICK, artist).draw()
    assert len(files) == QUICK.pictures
    for file, pixels_CHW in zip(files, pixels_BCHW, strict=True):
        with Image.open(file) as picture:
            ours, bare = (np.asarray(image, dtype=int) for image in (picture, as_image(pixels_CHW)))
        assert np.abs(ours - bare).max() <= 1 and ours.std() > 5
