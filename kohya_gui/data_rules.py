"""Rules of the pictures themselves: which were found, how folders were read, which are broken or small, what fits."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from kohya_gui import fixes, found, pictures
from kohya_gui.asked_buckets import latents_bytes, possible_buckets
from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.looking import LOOKS
from kohya_gui.picture_rules import read_for_training
from kohya_gui.rules import entries_of, rule
from kohya_gui.stages import TRAINERS
from kohya_gui.words import size, some_names
from sd_scripts.library.data.buckets import BucketRules, Size

_READ_BY = ("caption_blip", "caption_git", "tag_wd14", "tag_deepdanbooru", "latents")


@rule(*_READ_BY, "merge_captions", "merge_tags")
def folder_read(draft: Draft) -> Iterator[Finding]:
    """Which pictures were found, and whether those of the folders below are among them."""
    folder = draft.path("train_data_dir")
    if folder is None or not folder.is_dir():
        return
    own, below = len(pictures.files_in(folder)), pictures.files_below(folder)
    counts = {"n": own, "folder": folder.name, "below": len(below)}
    if draft.get("recursive"):
        yield draft.fine("check.folders_read", **counts | {"n": own + len(below)})
    elif own:
        yield draft.fine("check.folder_read", **counts)
        if below:
            yield draft.note("train_data_dir", "check.below_left", include_below(draft), **counts | {"n": len(below)})


def include_below(draft: Draft) -> Fix:
    """Takes the folders below as well, whose pictures need their full paths as names."""
    return fixes.turn_on(draft, *(flag for flag in ("recursive", "full_path") if flag in draft.specs))


@rule(*_READ_BY)
def pictures_readable(draft: Draft) -> Iterator[Finding]:
    """Every picture of the folder can be read, and is large enough."""
    folder = draft.path("train_data_dir")
    if folder is None or not folder.is_dir():
        return
    files = list(pictures.files_in(folder)) + (pictures.files_below(folder) if draft.get("recursive") else [])
    rules = possible_buckets(draft) if draft.stage.id == "latents" else None
    yield from looked_at(draft, files, "train_data_dir", rules)


@rule(*TRAINERS)
def trained_pictures_readable(draft: Draft) -> Iterator[Finding]:
    """Every picture that the training itself reads can be read, and is large enough."""
    entries, (keys, there) = entries_of(draft), read_for_training(draft)
    unprepared = entries is None or all(entries.kind(key).prepared_px is None for key in keys)
    yield from looked_at(draft, there.values(), "train_data_dir", possible_buckets(draft) if unprepared else None)


def looked_at(draft: Draft, files: Iterable[Path], blamed: str, rules: BucketRules | None) -> Iterator[Finding]:
    """What is wrong with pictures; as long as not all were looked at, how many were. `rules`: of their buckets."""
    looks, remaining = LOOKS.of(files)
    if remaining:
        yield draft.note(None, "check.looking", done=len(looks), all=len(looks) + remaining)
    broken = [path for path, look in looks.items() if look.fault]
    if broken:
        all_are = len(broken) == len(looks) and not remaining
        tell, key = (draft.error, "check.all_broken") if all_are else (draft.warning, "check.broken")
        yield tell(blamed, key, fixes.show(broken), n=len(broken), names=_names(broken))
    sizes = {path: look.size_px for path, look in looks.items() if not look.fault}
    yield from _sized(draft, sizes, blamed, rules) if rules else ()


def _sized(draft: Draft, sizes: dict[Path, Size], blamed: str, rules: BucketRules) -> Iterator[Finding]:
    fits = {path: rules.fit(size_px) for path, size_px in sizes.items()}
    small = [path for path, fit in fits.items() if fit is None]
    if small:
        mend = (fixes.show(small), fixes.turn_off(draft, "bucket_no_upscale"))
        yield draft.warning(blamed, "check.too_small", *mend, n=len(small), names=_names(small), px=rules.step_px)
    grown = [path for path, fit in fits.items() if fit and fit.resized_px[0] > sizes[path][0]]
    if grown:
        can_stay = not rules.one_size and "bucket_no_upscale" in draft.specs
        stay = [fixes.turn_on(draft, "bucket_no_upscale")] if can_stay else []
        yield draft.note(blamed, "check.enlarged", fixes.show(grown), *stay, n=len(grown), names=_names(grown))


@rule("latents")
def latents_fit_on_disk(draft: Draft) -> Iterator[Finding]:
    """There is room for the latents beside the pictures."""
    folder, rules = draft.path("train_data_dir"), possible_buckets(draft)
    if folder is None or not folder.is_dir() or rules is None:
        return
    each = latents_bytes(rules.resolution_px, draft.get("flip_aug"))
    needed, free = each * len(entries_of(draft) or pictures.files_in(folder)), found.free_bytes(folder)
    if needed > free:
        without = [fixes.turn_off(draft, "flip_aug")] if draft.get("flip_aug") and needed / 2 <= free else []
        sizes = {"needed": size(needed), "free": size(free), "folder": str(folder)}
        yield draft.error("train_data_dir", "check.no_space", *without, fixes.browse("train_data_dir"), **sizes)


def _names(files: list[Path]) -> str:
    return some_names([path.name for path in files])
