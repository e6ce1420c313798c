"""What the page lets programs write: the kinds of files that they are for, and nothing that a system would run.

In a terminal they write what they are told to; whoever reaches the page is perhaps not who owns the machine.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from kohya_gui import found
from kohya_gui.draft import Draft, Finding
from kohya_gui.files import means_more_on_windows
from kohya_gui.found import MODEL_SUFFIXES
from kohya_gui.rules import rule
from kohya_gui.stages import STAGES
from kohya_gui.words import refusal
from sd_scripts.library.data.captions import TEXT_ENDINGS
from sd_scripts.library.errors import BadOption
from sd_scripts.options.config_file import read_config
from sd_scripts.options.refused import REFUSED
from sd_scripts.options.spec import OptionSpec, PathKind

TEXT_SUFFIXES = (*TEXT_ENDINGS, ".captions", ".tags", ".tag", ".text")

_KINDS: dict[PathKind, tuple[str, ...]] = {
    "json_out": (".json", ".jsonl"),
    "file_out": (".log", ".txt"),
    "model_out": MODEL_SUFFIXES,
}


def check_kind(spec: OptionSpec, path: Path) -> None:
    """A file that is written has an ending that fits, and takes no other's place. Errors: BadOption."""
    kinds = _KINDS.get(spec.path or "file")
    if kinds and path.suffix.lower() not in kinds and not (path.is_dir() or _is_new_folder(spec, path)):
        raise refusal(spec.name, "path.other_kind", path=path.name, kinds=", ".join(kinds))
    if spec.path == "json_out" and path.is_file() and isinstance(found.metadata_at(path), str):
        raise refusal(spec.name, "path.not_replaced", path=path)


def _is_new_folder(spec: OptionSpec, path: Path) -> bool:
    """Whether a model becomes a folder that is not there yet; "model v1.5" has no ending, although it has a dot."""
    return spec.path == "model_out" and not path.exists() and re.fullmatch(r"\.[a-zA-Z]\w*", path.suffix) is None


def is_text_ending(ending: str) -> bool:
    """Whether files of an ending are texts beside pictures; it may stand without its dot."""
    dotted = f".{ending.lower().lstrip('.')}"
    return dotted.endswith(TEXT_SUFFIXES) and re.fullmatch(r"[\w.-]+", dotted) is not None


@rule(*STAGES)
def texts_are_texts(draft: Draft) -> Iterator[Finding]:
    """Texts are written as texts."""
    ending = draft.values.get("caption_extension")
    if ending and not is_text_ending(ending):
        yield draft.error("caption_extension", "path.text_ending", ending=ending, kinds=", ".join(TEXT_SUFFIXES))


@rule(*(stage for stage in STAGES if STAGES[stage].trains))
def name_is_one(draft: Draft) -> Iterator[Finding]:
    """What is trained gets a name that is one on every system, and not hidden. The program sees the rest."""
    name = draft.values.get("output_name")
    if name and (name.startswith(".") or means_more_on_windows(name)):
        yield draft.error("output_name", "project.output_name_unsafe")


@rule(*STAGES)
def settings_stay_inside(draft: Draft) -> Iterator[Finding]:
    """A file of options names no place that the page may not reach."""
    named = draft.values.get("config_file")
    if not named or draft.get("output_config"):
        return
    try:
        draft.roots.inside(named, "config_file", draft.base)
        values = read_config(named, draft.specs, REFUSED.get(Path(draft.stage.script).stem, {}))
        for flag, value in values.items():
            for path in (value if isinstance(value, list) else [value]) if draft.specs[flag].path else []:
                draft.roots.inside(str(path), "config_file", draft.base)
    except BadOption as error:
        yield Finding("error", "config_file", str(error))
