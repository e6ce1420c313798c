"""Rules of a training's datasets: the file that describes several, and a class of the user's own."""

from collections.abc import Iterator

from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import rule
from sd_scripts.library.data.dataset_config import DatasetTables, read_dataset_config
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.options.dataset_config import PATH_KEYS


def unused(draft: Draft) -> tuple[str, ...]:
    """The options that do not count, as a file of datasets or a class takes their place."""
    others = draft.get("dataset_config") or draft.get("dataset_class")
    return ("in_json", "train_data_dir") if others else ()


@rule("train")
def one_source(draft: Draft) -> Iterator[Finding]:
    """A file of datasets and a class exclude each other; a class keeps latents itself."""
    if draft.get("dataset_class"):
        for flag in ("dataset_config", "cache_latents_to_disk"):
            if draft.get(flag):
                yield draft.error(flag, "check.not_with", other="dataset_class")
    elif not draft.get("dataset_config"):
        for flag in ("cache_info", "caption_extension"):
            if flag in draft.values:
                yield draft.error(flag, "check.needs", needed="dataset_config")


@rule("train")
def readers_to_keep(draft: Draft) -> Iterator[Finding]:
    """Only readers that there are can be kept."""
    if draft.get("persistent_data_loader_workers") and not draft.get("max_data_loader_n_workers"):
        yield draft.error("persistent_data_loader_workers", "check.needs", needed="max_data_loader_n_workers")


@rule("train")
def datasets_described(draft: Draft) -> Iterator[Finding]:
    """The file of datasets is without mistakes, and what it names is there."""
    path = draft.path("dataset_config")
    if path is None or not path.is_file():
        return
    try:
        draft.roots.inside(str(path), "dataset_config", draft.base)
        tables = read_dataset_config(str(path))
        gone = _gone(draft, tables)
    except (BadOption, BadFile) as error:
        yield Finding("error", "dataset_config", str(error))
        return
    if gone:
        yield draft.error("dataset_config", "check.dataset_gone", path=gone[0])
        return
    subsets = sum(len(one.subsets) for one in tables)
    yield draft.fine("check.datasets", n=len(tables), subsets=subsets)


def _gone(draft: Draft, tables: list[DatasetTables]) -> list[str]:
    """Folders and metadata files that are not there; they are named from the working folder. Errors: BadOption."""
    values = [subset.values for one in tables for subset in one.subsets]
    named = [table[key] for table in values for key in PATH_KEYS if key in table]
    return [name for name in named if not draft.roots.inside(name, "dataset_config", draft.base).exists()]
