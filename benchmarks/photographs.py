"""Pictures to measure with: like photographs to a decoder, of mixed kinds and sizes."""

import math
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.images import image_size

if TYPE_CHECKING:
    import numpy as np

SHAPES_PX = [(1216, 832), (1080, 1350), (1920, 1080), (2048, 2048), (3008, 2000), (2736, 3648), (4032, 3024)]
"""1.0 to 12.2 megapixels, as cameras, telephones and the web have them."""

KINDS = {
    "fine.jpg": {"quality": 92},
    "web.jpg": {"quality": 85, "subsampling": 2, "progressive": True},
    "lossless.png": {"compress_level": 6},
    "small.webp": {"quality": 85, "method": 2},
}
"""How their names end, and how they are written. Half of them are JPEG; in most folders it is more."""

DETAILS = ((4, 80.0), (16, 40.0), (64, 20.0), (256, 12.0), (1024, 6.0))
"""(waves across the picture, their height): in photographs fine details are weak."""

NOISE = 60
"""The deviation of noise, of 255."""


def photograph(width: int, height: int, seed: int) -> "np.ndarray":
    """uint8 H,W,3: clouds of all sizes, and the grain of a sensor."""
    import cv2
    import numpy as np

    lot = np.random.default_rng(seed)
    pixels_HWC: np.ndarray = np.full((height, width, 3), 128.0, np.float32)
    for waves, strength in DETAILS:
        across, down = (max(2, round(waves * side / max(width, height))) for side in (width, height))
        coarse_HWC = lot.standard_normal((down, across, 3), dtype=np.float32) * strength
        pixels_HWC += cv2.resize(coarse_HWC, (width, height), interpolation=cv2.INTER_CUBIC)
    pixels_HWC += lot.standard_normal((height, width, 1), dtype=np.float32) * 2.0
    return pixels_HWC.clip(0, 255).astype(np.uint8)


def write_photographs(folder: Path, count: int, shapes_px: list[tuple[int, int]] = SHAPES_PX) -> list[Path]:
    """So many files: each shape in each kind, and then copies of those under other names. Gives them, sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        shapes = [(folder, number, shape_px) for number, shape_px in enumerate(shapes_px)]
        made = sorted(path for paths in pool.map(_write_kinds, shapes) for path in paths)
    for number in range(len(made), count):
        first = made[number % len(made)]
        shutil.copyfile(first, folder / f"copy{number:05d}_{first.name}")
    for path in made[count:]:
        path.unlink()
    return sorted(folder.iterdir())


def noise_pictures(folder: Path, count: int, side_px: int, ending: str = ".png", grain_px: int = 1) -> list[Path]:
    """So many squares of noise in a new folder, for what does not depend on what is seen. Gives them by number."""
    from PIL import Image

    folder.mkdir(parents=True)
    paths = [folder / f"{number}{ending}" for number in range(count)]
    for path in paths:
        grain = Image.effect_noise((side_px // grain_px, side_px // grain_px), NOISE).convert("RGB")
        grain.resize((side_px, side_px)).save(path, quality=90)
    return paths


def megapixels(pictures: list[Path]) -> float:
    """Of all of them together."""
    return sum(math.prod(image_size(picture)) for picture in pictures) / 1e6


def _write_kinds(shape: tuple[Path, int, tuple[int, int]]) -> list[Path]:
    from PIL import Image

    folder, number, (width, height) = shape
    image = Image.fromarray(photograph(width, height, number))
    paths = []
    for ending, how in KINDS.items():
        path = folder / f"photo{number:02d}_{ending}"
        image.save(path, **how)
        paths.append(path)
    return paths
