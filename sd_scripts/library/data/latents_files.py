"""Finds the latents files of pictures, and says which of them cannot be used. Needs no torch."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from sd_scripts.library.data.buckets import Size
from sd_scripts.library.data.images import IMAGE_SUFFIXES
from sd_scripts.library.data.latents import content_hash, flip_path, plain_path
from sd_scripts.library.data.latents_head import ANY, Expected, Head, Source, read_head
from sd_scripts.library.data.npz import BrokenLatents

# <stem>_<width>x<height>_sd.npz, or _sdxl.npz; the original picture's size in four digits or more.
NEWER_NAME = re.compile(r"(?P<stem>.+)_\d{4,}x\d{4,}_(?P<suffix>sd|sdxl)\.npz")

NO_MIRROR = "they have no mirror image, which --flip_aug asks for"

Check = Literal["nothing", "size", "content"]


class LatentsFiles(NamedTuple):
    """The usable latents files of a picture, plain and mirrored (perhaps one file for both), or why there is none."""

    plain: Path | None = None
    flipped: Path | None = None
    misfit: str = ""


@dataclass
class _Listing:
    """A folder's latents files, and the stems of its pictures."""

    latents: set[str] = field(default_factory=set)
    newer: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    stems: set[str] = field(default_factory=set)


class LatentsFinder:
    """Looks for latents beside pictures; each folder is listed once. `vae_hash` None: of whatever VAE.

    `suffix`: what stands in the names of the newer layout, sd or sdxl.

    `check`: by what is seen whether they come from the picture that is there. Its "size" in bytes is quickly known; its
    "content" must be read; "nothing" trusts every file that has the right shape, whatever VAE it comes from too.
    """

    def __init__(self, vae_hash: str | None = None, check: Check = "size", suffix: str = "sd") -> None:
        self._suffix = suffix
        self._vae_hash = None if check == "nothing" else vae_hash
        self._check = check
        self._folders: dict[Path, _Listing] = {}
        self._sources: dict[Path, Source] = {}

    def of(self, image: Path, bucket_px: Size, expected: Expected = ANY) -> LatentsFiles:
        """The latents of a picture in its bucket. What has another size, another source or another VAE is not taken."""
        listing = self._listing(image.parent)
        newer = listing.newer.get(image.stem, [])
        there = image.suffix != ".npz" and image.is_file()
        has_any = plain_path(image).name in listing.latents or newer
        source = self._source(image) if there and has_any else Source(vae_hash=self._vae_hash)
        # Of a picture that is not there any more nothing can be made: its latents serve as they are.
        wanted = expected if there else ANY

        def misfit_of(head: Head, flipped: bool) -> str:
            return head.misfit(bucket_px, flipped, source, wanted)

        plain, misfit = self._first(image, [plain_path(image).name, *newer], lambda head: misfit_of(head, False))
        if plain is None:
            return LatentsFiles(misfit=misfit)
        mirror = flip_path(image)
        # The latents of a picture that is itself called <stem>_flip are not this one's mirror image.
        names = [] if mirror.stem in listing.stems else [mirror.name]
        # A file of its own is there to be shown; an array of the newer layout may have been made for another training.
        names += newer if expected.mirrored else []
        flipped, _ = self._first(image, names, lambda head: misfit_of(head, True))
        if wanted.mirrored and flipped is None:
            return LatentsFiles(misfit=NO_MIRROR)
        return LatentsFiles(plain, flipped)

    def any_of(self, image: Path) -> Path | None:
        """A latents file of a picture, of whatever size."""
        listing = self._listing(image.parent)
        name = plain_path(image).name
        found = [name] if name in listing.latents else listing.newer.get(image.stem, [])
        return image.with_name(found[0]) if found else None

    def _source(self, image: Path) -> Source:
        """What the latents of a picture should come from, as far as it is to be checked."""
        if image not in self._sources:
            size = image.stat().st_size if self._check != "nothing" else None
            name = content_hash(image.read_bytes()) if self._check == "content" else None
            self._sources[image] = Source(size, name, self._vae_hash)
        return self._sources[image]

    def _first(self, image: Path, names: list[str], misfit_of: Callable[[Head], str]) -> tuple[Path | None, str]:
        """The first of the files that fits, or why the first of them does not."""
        misfit = ""
        for name in names:
            if name not in self._listing(image.parent).latents:
                continue
            path = image.with_name(name)
            try:
                found = misfit_of(read_head(path))
            except BrokenLatents:
                found = "they are broken"
            if not found:
                return path, ""
            misfit = misfit or found
        return None, misfit

    def _listing(self, folder: Path) -> _Listing:
        if folder not in self._folders:
            self._folders[folder] = _list(folder, self._suffix)
        return self._folders[folder]


def _list(folder: Path, suffix: str) -> _Listing:
    listing = _Listing()
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix == ".npz":
            listing.latents.add(path.name)
            newer = NEWER_NAME.fullmatch(path.name)
            if newer and newer["suffix"] == suffix:
                listing.newer[newer["stem"]].append(path.name)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            listing.stems.add(path.stem)
    return listing
