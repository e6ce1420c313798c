"""A folder of pictures like photographs: JPEG, PNG and WebP files of 1 to 12 megapixels, the same each time."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_MEGAPIXELS, MOST_MEGAPIXELS = 1.0, 12.0
SHAPES = ((3, 2), (4, 3), (2, 3), (16, 9), (1, 1), (3, 4))
"""Width to height, in turn."""

FORMATS: tuple[tuple[str, dict[str, Any]], ...] = (
    (".jpg", {"quality": 90}),
    (".png", {"compress_level": 1}),
    (".jpg", {"quality": 95, "subsampling": 0}),
    (".webp", {"quality": 85, "method": 0}),
)
"""In turn: half of the files are JPEG, as most photographs are."""

DISTINCT = 12
"""So many are made; the others are copies of them, which cost as much to read."""


def make_photographs(folder: Path, count: int, largest_megapixels: float = MOST_MEGAPIXELS) -> list[Path]:
    """Writes `count` files, from the smallest to the largest and again; gives them sorted by name."""
    folder.mkdir(parents=True, exist_ok=True)
    distinct = min(count, DISTINCT)
    growth = (largest_megapixels / LEAST_MEGAPIXELS) ** (1 / max(1, distinct - 1))
    with ThreadPoolExecutor() as pool:
        # Half the way round first, so that large and small ones take turns.
        sizes = [LEAST_MEGAPIXELS * growth ** (number * 5 % distinct) for number in range(distinct)]
        made = list(pool.map(lambda number: _save(folder, number, sizes[number]), range(distinct)))
    for number in range(distinct, count):
        original = made[number % distinct]
        made.append(Path(shutil.copyfile(original, folder / f"{number:05}{original.suffix}")))
    return made


def photograph(width_px: int, height_px: int, seed: int) -> "Image":
    """Shapes with soft and hard edges, at all scales, with the noise of a camera: seen by what compresses it, a photo.

    The power of natural pictures falls with the square of the frequency (Field 1987): each octave has half the height
    of the one before.
    """
    import cv2
    import numpy as np
    from PIL import Image

    drawn = np.random.default_rng(seed)
    scene = np.full((height_px, width_px, 3), 128.0, np.float32)
    side, height = 2, 90.0
    while side < max(width_px, height_px) // 2:
        grid = drawn.normal(0.0, height, (side, side, 3)).astype(np.float32)
        # What is nearer covers: every second octave has hard edges.
        grid = grid * 0.6 + grid.mean(axis=2, keepdims=True) * 0.4
        scene += cv2.resize(grid, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
        side, height = side * 2, height * 0.5
    for start, end in pairwise(drawn.integers(0, [width_px, height_px], (9, 2))):
        cv2.ellipse(scene, start.tolist(), (end // 5 + 1).tolist(), 30, 0, 360, drawn.uniform(0, 255, 3).tolist(), -1)
    scene += drawn.normal(0.0, 5.0, (height_px, width_px, 1)).astype(np.float32)
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8))


def _save(folder: Path, number: int, megapixels: float) -> Path:
    across, down = SHAPES[number % len(SHAPES)]
    unit = (megapixels * 1e6 / (across * down)) ** 0.5
    ending, how = FORMATS[number % len(FORMATS)]
    path = folder / f"{number:05}{ending}"
    photograph(round(across * unit), round(down * unit), number).save(path, **how)
    return path
