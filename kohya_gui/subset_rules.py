"""Rules of the folders and metadata files that a dataset file names: their captions, and the pictures themselves."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from kohya_gui import fixes, found, pictures
from kohya_gui.caption_rules import SHOWN, own_rules, rendered, shown, texts_of_entries
from kohya_gui.data_rules import looked_at
from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.listed import Listed
from kohya_gui.rules import entries_of, folders_read
from kohya_gui.words import say
from sd_scripts.library.data.captions import TEXT_ENDINGS, UnreadableText, read_caption, training_text
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.errors import UserError
from sd_scripts.options.spec import from_values


def source_of(draft: Draft) -> str:
    """The option that names what is trained, and so is to blame: a file of datasets, or a folder."""
    return "train_data_dir" if folders_read(draft) else "dataset_config"


def about_datasets(draft: Draft, datasets: list[Dataset]) -> Iterator[Finding]:
    """What was found in the datasets; their folders and files are there."""
    subsets = [subset for dataset in datasets for subset in dataset.subsets]
    for dataset in datasets:
        for subset in dataset.subsets:
            yield from () if subset.captions.templates else _about_texts(draft, subset)
            files = _pictures(draft, subset)
            yield from looked_at(draft, files, source_of(draft), None if subset.metadata_file else dataset.rules)
    each = SHOWN if len(subsets) == 1 else 1
    yield from shown(draft, (text for subset in subsets for text in islice(_captions(draft, subset), each)))


def training_captions(draft: Draft) -> Iterator[str]:
    """The captions of a training as its first step shows them; none where the options contradict each other."""
    try:
        if not draft.get("dataset_config") and not folders_read(draft):
            rules = own_rules(draft)
            texts = rendered(draft, texts_of_entries(entries_of(draft), rules), rules)
        else:
            datasets = asked_datasets(from_values(draft.stage.options, draft.values))
            texts = (text for dataset in datasets for subset in dataset.subsets for text in _captions(draft, subset))
        yield from filter(None, texts)
    except UserError:
        return


def _about_texts(draft: Draft, subset: Subset) -> Iterator[Finding]:
    """How many pictures have a text; of a folder, where those of another ending are."""
    entries, blamed = _entries(draft, subset), source_of(draft)
    files = _pictures(draft, subset)
    ending, total = subset.caption_extension, len(entries or ()) if subset.metadata_file else len(files)
    if subset.metadata_file:
        there = entries.count(lambda kind: kind.has_text) if entries else 0
        without = []
    else:
        without = pictures.textless_in(files[0].parent, ending) if files else []
        there = total - len(without)
    counts = {"name": subset.name, "there": there, "all": total, "ext": ending, "n": total - there}
    if not total:
        yield draft.error(blamed, "check.subset_empty", fixes.browse(blamed), **counts)
    elif not there and (other := _other_ending(subset, files)):
        # The words of the folder's name would be trained in place of them.
        tell = draft.warning if subset.class_tokens else draft.error
        yield tell(blamed, "check.subset_other_texts", *_use(draft, subset, other), **counts, other=other)
    elif there == total or subset.class_tokens:
        yield draft.fine("check.subset_texts", **counts)
    elif not there:
        yield draft.error(blamed, "check.subset_no_text", fixes.browse(blamed), **counts)
    else:
        yield draft.warning(blamed, "check.subset_some_without", fixes.show(without), **counts)


def _use(draft: Draft, subset: Subset, other: str) -> list[Fix]:
    """The other ending for all folders, unless the file itself gives this one an ending."""
    if subset.caption_extension != draft.get("caption_extension"):
        return [fixes.browse(source_of(draft))]
    return [Fix(say("fix.use", value=other), {"caption_extension": other})]


def _other_ending(subset: Subset, files: tuple[Path, ...]) -> str | None:
    others = [ending for ending in TEXT_ENDINGS if ending != subset.caption_extension]
    return next((ending for ending in others if pictures.texted_in(files[0].parent, ending)), None)


def _captions(draft: Draft, subset: Subset) -> Iterator[str]:
    rules = subset.captions
    texts = texts_of_entries(_entries(draft, subset), rules) if subset.metadata_file else _folder_texts(draft, subset)
    return rendered(draft, texts, rules)


def _folder_texts(draft: Draft, subset: Subset) -> Iterator[str]:
    for path in _pictures(draft, subset):
        try:
            read = read_caption(path.with_suffix(subset.caption_extension))
        except UnreadableText:
            continue
        text = training_text(read.text if read else "", "", every_line=subset.captions.wildcards)
        if text := text or subset.class_tokens or next(iter(subset.captions.templates), ""):
            yield text


def _pictures(draft: Draft, subset: Subset) -> tuple[Path, ...]:
    folder = draft.base / subset.image_dir if subset.image_dir else None
    if subset.metadata_file:
        entries = _entries(draft, subset)
        return tuple(pictures.of_entries(entries.places if entries else (), folder).values())
    return pictures.files_in(folder) if folder else ()


def _entries(draft: Draft, subset: Subset) -> Listed | None:
    entries = found.metadata_at(draft.base / subset.metadata_file) if subset.metadata_file else None
    return None if isinstance(entries, str) else entries
