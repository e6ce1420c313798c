"""Prompts for samples, made from the captions that are trained."""

from itertools import islice
from pathlib import Path

from kohya_gui.caption_rules import SHOWN
from kohya_gui.draft import Draft
from kohya_gui.fixes import free_name
from kohya_gui.subset_rules import training_captions
from kohya_gui.words import refusal
from sd_scripts.library.io.atomic import write_text

_STEM, _SUFFIX = "sample_prompts", ".txt"


def write_prompts(draft: Draft) -> tuple[Path, list[str]]:
    """Writes three of the captions as prompts into a new file of the working folder. Errors: BadOption, BadFile."""
    prompts = [_as_prompt(text) for text in islice(training_captions(draft), SHOWN)]
    if not prompts:
        raise refusal("sample_prompts", "prompts.none")
    path = _new_file(_folder(draft))
    write_text(path, "\n".join(prompts) + "\n")
    return path, prompts


def _folder(draft: Draft) -> Path:
    """The working folder; without a project that of the output. Errors: BadOption."""
    place = draft.project.work_dir or draft.get("output_dir")
    if not place:
        raise refusal("output_dir", "prompts.no_place")
    return draft.roots.inside(place, "output_dir", draft.base)


def _new_file(folder: Path) -> Path:
    """A file that is not there yet."""
    plain = folder / f"{_STEM}{_SUFFIX}"
    if not plain.exists():
        return plain
    return plain.with_stem(free_name(_STEM, lambda stem: plain.with_stem(stem).exists()))


def _as_prompt(caption: str) -> str:
    """One line in which nothing is a weight or an option of prompts."""
    plain = " ".join(caption.split()).replace("--", "-").lstrip("#")
    return "".join(f"\\{sign}" if sign in "()[]" else sign for sign in plain)
