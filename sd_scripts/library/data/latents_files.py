"""Finds the latents files of pictures, and says which of them cannot be used. Needs no torch."""

import functools
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from sd_scripts.library.data.buckets import BucketRules, Size
from sd_scripts.library.data.images import IMAGE_SUFFIXES, UnreadableImage
from sd_scripts.library.data.known_files import KnownFiles, facts_told, question_about, split_path, stamp_of
from sd_scripts.library.data.latents_head import ANY, BROKEN, PICTURE_CHANGED, Expected, Head, read_head
from sd_scripts.library.data.npz import BrokenLatents
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.data.resize import same_way

# <stem>_<width>x<height>_sd.npz, or _sdxl.npz; the original picture's size in four digits or more.
NEWER_NAME = re.compile(r"(?P<stem>.+)_\d{4,}x\d{4,}_(?P<suffix>sd|sdxl)\.npz")

NO_MIRROR = "they have no mirror image, which --flip_aug asks for"

Check = Literal["size", "changes", "everything"]


class LatentsFiles(NamedTuple):
    """The usable latents files of a picture, plain and mirrored (perhaps one file for both), or why there is none."""

    plain: Path | None = None
    flipped: Path | None = None
    misfit: str = ""


NO_LATENTS = LatentsFiles()


@dataclass
class _Listing:
    """A folder's latents files, and the stems of its pictures."""

    latents: set[str] = field(default_factory=set)
    newer: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    stems: set[str] = field(default_factory=set)

    def of(self, stem: str) -> list[str]:
        """The files of a picture's plain latents, the preparing stage's first."""
        prepared, newer = f"{stem}.npz", self.newer.get(stem, [])
        return [prepared, *newer] if prepared in self.latents else newer


class Asked(NamedTuple):
    """What a latents file is to be: of a picture (None: of whatever one), in a bucket, one way round."""

    picture: Path | None
    bucket_px: Size
    flipped: bool
    expected: Expected

    def question(self, content: str) -> str:
        """The name of this for a picture with that content; "": for a file that does not say of which it is."""
        told = content if self.picture else "any"
        return question_about(_facts(self.bucket_px, self.flipped, self.expected), told)


@functools.lru_cache(maxsize=4096)
def _facts(bucket_px: Size, flipped: bool, expected: Expected) -> str:
    """Pictures of one size are asked for the same, but for their content."""
    return facts_told("latents", bucket_px, flipped, expected._replace(mirrored=False))


@functools.lru_cache(maxsize=4096)
def _as_prepared(expected: Expected) -> Expected:
    """What is asked of the preparing stage's files: they are scaled, and in a precision, as was decided there."""
    interpolation = expected.interpolation or None
    return expected._replace(interpolation=interpolation, precision=None, resized_px=None)


class LatentsFinder:
    """Looks for latents beside pictures; each folder is listed once. `vae_hash` None: of whatever VAE.

    `suffix`: what stands in the names of the newer layout, sd or sdxl; "" where latents are of no use. `precision`:
    that in which latents are to be made where there are none; where that is not done, files of any precision serve.

    `check`: "changes" looks at what has changed since an earlier run, "everything" at all of each picture and each
    file, and "size" trusts every file that has the right shape, whatever picture or VAE it comes from.
    """

    def __init__(
        self,
        vae_hash: str | None = None,
        check: Check = "changes",
        suffix: str = "sd",
        precision: str | None = None,
    ) -> None:
        self.suffix = suffix
        self.vae_hash = vae_hash
        self.check = check
        self.known = KnownFiles(trusting=check != "everything")
        self._precision = precision
        self._folders: dict[str, _Listing] = {}

    def expected(self, picture: Path, bucket_px: Size, rules: PictureRules, buckets: BucketRules | None) -> Expected:
        """What the latents of a picture are to be like that are shown by these rules."""
        way = same_way(rules.resize_interpolation)
        if self.check == "size":
            return Expected(rules.flip_aug, rules.alpha_mask, rules.resize_interpolation and way)
        resized_px = self._resized_px(picture, bucket_px, buckets)
        return Expected(rules.flip_aug, rules.alpha_mask, way, self.vae_hash, self._precision, resized_px)

    def of(self, image: Path, bucket_px: Size, expected: Expected = ANY) -> LatentsFiles:
        """The latents of a picture in its bucket. What has another size, another source or another VAE is not taken."""
        folder, name = split_path(os.fspath(image))
        stem = os.path.splitext(name)[0]
        listing = self._listing(folder)
        names = listing.of(stem)
        if not names:
            return NO_LATENTS
        there = image.suffix != ".npz" and self.known.is_there(image)
        # Of a picture that is not there any more nothing can be made: its latents serve as they are.
        wanted = expected if there else ANY._replace(vae_hash=expected.vae_hash)
        asked = Asked(image if there and self.check != "size" else None, bucket_px, False, wanted)
        plain, misfit = self._first(folder, names, asked)
        if plain is None:
            return LatentsFiles(misfit=misfit)
        mirror = f"{stem}_flip"
        # The latents of a picture that is itself called <stem>_flip are not this one's mirror image.
        names = [f"{mirror}.npz"] if f"{mirror}.npz" in listing.latents and mirror not in listing.stems else []
        # A file of its own is there to be shown; an array of the newer layout may have been made for another training.
        names += listing.newer.get(stem, []) if expected.mirrored else []
        flipped = self._first(folder, names, asked._replace(flipped=True))[0] if names else None
        if wanted.mirrored and flipped is None:
            return LatentsFiles(misfit=NO_MIRROR)
        return LatentsFiles(plain, flipped)

    def note_written(self, image: Path, bucket_px: Size, expected: Expected, files: LatentsFiles, content: str) -> None:
        """Keeps that latents were just made of a picture with this content, so that the next run need not look."""
        asked = Asked(image, bucket_px, False, expected)
        for path, flipped in ((files.plain, False), (files.flipped, True)):
            if path and self.check != "size":
                self.known.note_written(path, asked._replace(flipped=flipped).question(content))

    def has_any(self, image: str | Path) -> bool:
        """Whether a picture has a latents file, of whatever size."""
        folder, name = split_path(os.fspath(image))
        listing = self._listing(folder)
        return bool(listing.latents and listing.of(os.path.splitext(name)[0]))

    def _resized_px(self, picture: Path, bucket_px: Size, buckets: BucketRules | None) -> Size | None:
        """The size to which a picture is scaled; None where that was decided before, or cannot be told."""
        try:
            fit = buckets.fit(self.known.size_of(picture)) if buckets else None
        except UnreadableImage:
            return None
        return fit.resized_px if fit and fit.bucket_px == bucket_px else None

    def _first(self, folder: str, names: list[str], asked: Asked) -> tuple[Path | None, str]:
        """The first of the files that fits, or why the first of them does not."""
        misfit = ""
        prepared = asked._replace(expected=_as_prepared(asked.expected))
        for name in names:
            # A text: there may be many pictures, for which Path would take long.
            path = os.path.join(folder, name)
            found = misfit_of(path, asked if NEWER_NAME.fullmatch(name) else prepared, self.known)
            if not found:
                return Path(path), ""
            misfit = misfit or found
        return None, misfit

    def _listing(self, folder: str) -> _Listing:
        if folder not in self._folders:
            self._folders[folder] = _list(folder or ".", self.suffix)
        return self._folders[folder]


def misfit_of(path: str | Path, asked: Asked, known: KnownFiles) -> str:
    """Why a latents file is not what is asked for, in words; "" where it is. It is opened only if that is not known."""
    try:
        content = known.known_hash(asked.picture) if asked.picture else ""
        # A file that does not name its picture's content answers for any.
        if known.answers(path, asked.question(content)) or known.answers(path, asked.question("")):
            return ""
        stamp, head = stamp_of(path), read_head(Path(path), whole=not known.trusting)
        said = head.said("content_hash", asked.bucket_px, asked.flipped)
        misfit = head.misfit(asked.bucket_px, asked.flipped, asked.expected)
        if not misfit and asked.picture and said and not _made_from(asked.picture, head, asked, known):
            misfit = PICTURE_CHANGED
    except (BrokenLatents, OSError):
        return BROKEN
    if not misfit:
        known.note(path, stamp, asked.question(said or ""))
    return misfit


def _made_from(picture: Path, head: Head, asked: Asked, known: KnownFiles) -> bool:
    """Whether a file says that it was made of a picture as it is now. Errors: OSError."""
    size_bytes, content = (head.said(name, asked.bucket_px, asked.flipped) for name in ("source_bytes", "content_hash"))
    # Of another size it is another picture: it need not be read.
    return size_bytes in (None, os.stat(picture).st_size) and known.hash_of(picture) == content


def _list(folder: str, suffix: str) -> _Listing:
    listing = _Listing()
    names = os.listdir(folder) if os.path.isdir(folder) else []
    if not any(name.endswith(".npz") for name in names):
        return listing
    for name in sorted(names):
        if name.endswith(".npz"):
            listing.latents.add(name)
            newer = NEWER_NAME.fullmatch(name)
            if newer and newer["suffix"] == suffix:
                listing.newer[newer["stem"]].append(name)
        elif name.lower().endswith(IMAGE_SUFFIXES):
            listing.stems.add(name.rpartition(".")[0])
    return listing
