"""Faces that the names of pictures tell, and pictures cut around them. Pure functions; needs no torch."""

import random
import re
from pathlib import Path
from typing import NamedTuple

from sd_scripts.library.data.buckets import Fit, Size


class Face(NamedTuple):
    """A face in a picture, in px of the picture as it is seen: its centre and its size."""

    x: int
    y: int
    width: int
    height: int


_FACE = re.compile(r".+_(\d+)_(\d+)_(\d+)_(\d+)", re.ASCII)


def face_of(path: Path) -> Face | None:
    """The face that a file's name tells, as in "any_name_320_200_90_110.png": centre x, y, width, height.

    Source: the names that sd-scripts' tools/detect_face_rotate.py gives to pictures.
    """
    found = _FACE.fullmatch(path.stem)
    face = Face(*map(int, found.groups())) if found else None
    return face if face and face.width and face.height else None


# A face of fewer px, or below this part of the bucket's short side, is not moved out of the centre.
MOVED_FACE_PX, MOVED_FACE_PART = 40, 10


def face_fit(size_px: Size, fit: Fit, span: tuple[float, float], face: Face, anywhere: bool, lot: random.Random) -> Fit:
    """Scaled so that the bucket's short side is `span` times the face (drawn evenly in scale), cut around the face.

    The picture is never enlarged for that, except to cover its bucket. The face stands in the centre, moved by up to a
    twentieth of its size where the span is one; `anywhere` moves it by up to the whole picture, less far more often.
    Source: face_crop_aug_range of sd-scripts, which knows it without buckets only.
    """
    bucket_px, face_px = fit.bucket_px, max(face.width, face.height)
    short_px = min(bucket_px)
    cover = max(b / s for b, s in zip(bucket_px, size_px, strict=True))
    least = max(cover, min(1.0, short_px / (face_px * span[1])))
    most = max(least, min(1.0, short_px / (face_px * span[0])))
    scale = lot.uniform(least, most)
    # Rounding must not leave the bucket uncovered.
    resized_px = tuple(max(b, int(s * scale + 0.5)) for b, s in zip(bucket_px, size_px, strict=True))
    moved = span[0] != span[1] and face_px >= MOVED_FACE_PX and face_px > short_px // MOVED_FACE_PART

    def corner(length_px: int, cut_px: int, centre_px: int) -> int:
        at_px = centre_px - cut_px // 2
        if anywhere:
            reach_px = max(length_px - centre_px, centre_px)
            at_px += lot.randint(0, reach_px) + lot.randint(0, reach_px) - reach_px
        elif moved:
            at_px += lot.randint(-(face_px // 20), face_px // 20)
        return max(0, min(at_px, length_px - cut_px))

    centre = (int(face.x * scale + 0.5), int(face.y * scale + 0.5))
    # The height first, as there.
    top = corner(resized_px[1], bucket_px[1], centre[1])
    left = corner(resized_px[0], bucket_px[0], centre[0])
    return Fit((resized_px[0], resized_px[1]), bucket_px, (left, top))
