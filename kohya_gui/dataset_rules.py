"""Rules of a training's datasets: the file that describes several, and a class of the user's own."""

import re
from collections.abc import Iterator
from pathlib import Path

from kohya_gui import fixes, found
from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import folders_read, rule
from kohya_gui.stages import STAGES, TRAINERS
from kohya_gui.subset_rules import about_datasets, source_of, training_captions
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.picture_rules import check_caching
from sd_scripts.library.data.subsets import Dataset, Subset, told_of
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.options.spec import from_values


def unused(draft: Draft) -> tuple[str, ...]:
    """The options that do not count, as a file of datasets or a class takes their place."""
    others = draft.get("dataset_config") or draft.get("dataset_class")
    return ("in_json", "train_data_dir") if others else ()


@rule(*TRAINERS)
def one_source(draft: Draft) -> Iterator[Finding]:
    """A file of datasets and a class exclude each other; a class keeps latents itself."""
    if draft.get("dataset_class"):
        if not re.fullmatch(r"\w+(\.\w+)+", draft.get("dataset_class")):
            yield draft.error("dataset_class", "check.class_name", fixes.leave_out(draft, "dataset_class"))
        for flag in ("dataset_config", "cache_latents_to_disk"):
            if draft.get(flag):
                keep = fixes.keep_each(draft, flag, "dataset_class")
                yield draft.error(flag, "check.not_with", *keep, other="dataset_class")
    elif not draft.get("dataset_config") and not folders_read(draft):
        for flag in ("cache_info", "caption_extension"):
            if flag in draft.values:
                mend = (fixes.leave_out(draft, flag), fixes.browse("dataset_config"))
                yield draft.error(flag, "check.needs", *mend, needed="dataset_config")


@rule(*TRAINERS)
def readers_to_keep(draft: Draft) -> Iterator[Finding]:
    """Only readers that there are can be kept."""
    if draft.get("persistent_data_loader_workers") and not draft.get("max_data_loader_n_workers"):
        flag, readers = "persistent_data_loader_workers", "max_data_loader_n_workers"
        mend = (fixes.set_to(draft, readers, 2), fixes.turn_off(draft, flag))
        yield draft.error(flag, "check.needs", *mend, needed=readers)


@rule(*TRAINERS)
def datasets_described(draft: Draft) -> Iterator[Finding]:
    """The file of datasets is without mistakes, goes with the other options, and what it names is there.

    So are the folders that a training reads without such a file.
    """
    flag = source_of(draft)
    path = draft.path(flag)
    if path is None or not path.exists() or not (folders_read(draft) or path.is_file()) or draft.get("dataset_class"):
        return
    try:
        draft.roots.inside(str(path), flag, draft.base)
        datasets = _datasets(draft)
        subsets = [one for dataset in datasets for one in dataset.subsets]
        wrong = [finding for subset in subsets for finding in _wrong(draft, subset)]
    except (BadOption, BadFile) as error:
        yield Finding("error", getattr(error, "option", flag), str(error))
        return
    if wrong:
        yield wrong[0]
        return
    if draft.get("dataset_config"):
        yield draft.fine("check.datasets", n=len(datasets), subsets=len(subsets))
    yield from about_datasets(draft, datasets)


def _datasets(draft: Draft) -> list[Dataset]:
    """The datasets of the file. Errors: BadOption and BadFile, which name the table in the file."""
    datasets = asked_datasets(from_values(draft.stage.options, draft.values))
    for subset in (one for dataset in datasets for one in dataset.subsets):
        with told_of(subset.where):
            for option in (name for name in ("cache_latents", "cache_latents_to_disk") if draft.get(name)):
                check_caching(subset.pictures, option)
    return datasets


def _wrong(draft: Draft, subset: Subset) -> Iterator[Finding]:
    """What is wrong with the folders and the metadata file of a subset; they are named from the working folder."""
    if subset.mask_dir:
        _place(draft, subset.mask_dir)
    folder = _place(draft, subset.image_dir) if subset.image_dir else None
    file = _place(draft, subset.metadata_file) if subset.metadata_file else None
    if folder and not folder.is_dir():
        yield draft.error("dataset_config", "check.dataset_gone", path=subset.image_dir)
    if file and not file.is_file():
        yield draft.error("dataset_config", "check.dataset_gone", path=subset.metadata_file)
    entries = found.metadata_at(file) if file and file.is_file() else None
    if isinstance(entries, str):
        yield Finding("error", "dataset_config", entries)


def _place(draft: Draft, name: str) -> Path:
    """Errors: BadOption, where the page does not reach."""
    return draft.roots.inside(name, "dataset_config", draft.base)


@rule(*(stage for stage in TRAINERS if STAGES[stage].method == "inversion"))
def word_is_in_captions(draft: Draft) -> Iterator[Finding]:
    """A new word is learnt from captions that have it. Where no caption is known, nothing is said."""
    word, captions = draft.get("token_string"), training_captions(draft)
    first = next(captions, None)
    if word and first is not None and word not in first and not any(word in text for text in captions):
        templates = [fixes.turn_on(draft, flag) for flag in ("use_object_template", "use_style_template")]
        before = fixes.set_to(draft, "caption_prefix", word)
        yield draft.error("token_string", "check.word_not_in_captions", *templates, before, word=word)
