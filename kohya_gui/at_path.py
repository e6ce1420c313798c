"""What lies at the path of a field, told beside it; or why the option cannot use it."""

from collections.abc import Callable
from pathlib import Path

from kohya_gui import contents, found, pictures
from kohya_gui.draft import Draft
from kohya_gui.project import check_pictures
from kohya_gui.words import from_program, refusal, say, size
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.state_files import damage
from sd_scripts.options.config_file import config_path
from sd_scripts.options.output import LARGEST_THUMBNAIL_BYTES
from sd_scripts.options.spec import OptionSpec


def told_of_path(draft: Draft, spec: OptionSpec, path: Path) -> str:
    """In words, what an option finds at its path. Errors: UserError, where it cannot use that."""
    return _TOLD[spec.path or "file"](draft, spec.name, path)


def _pictures(draft: Draft, flag: str, path: Path) -> str:
    extension = draft.get("caption_extension")
    deep = draft.get("recursive") or _of_folders(draft, flag)
    if deep and path.is_dir() and (below := pictures.facts_of(path).below):
        return say("found.images_below", n=below)
    if flag == "conditioning_data_dir" and (told := contents.told_of_masks(path, draft.path("train_data_dir"))):
        return told
    return check_pictures(path, flag).described(extension)


def _of_folders(draft: Draft, flag: str) -> bool:
    """Whether the option names a folder of folders, one for each concept."""
    named = flag in ("train_data_dir", "reg_data_dir") and "reg_data_dir" in draft.specs and not draft.get("in_json")
    return named or draft.stage.id == "balance_dataset"


def _folder(draft: Draft, flag: str, path: Path) -> str:
    if not path.exists():
        return say("found.folder_will_be_made", free=found.size_free(path))
    if not path.is_dir():
        raise refusal(flag, "path.not_a_folder", path=path)
    return say("found.free", free=found.size_free(path))


def _model(draft: Draft, flag: str, path: Path) -> str:
    # Captioners are folders as transformers saves them.
    if draft.stage.tab == "caption" and (path / "config.json").is_file():
        return say("found.model_folder")
    model = found.model_at(path)
    if model is None:
        raise refusal(flag, "path.no_model" if path.exists() else "path.no_file", path=path)
    return model.describe()


def _json_in(draft: Draft, flag: str, path: Path) -> str:
    if not path.is_file():
        raise refusal(flag, "path.no_metadata", path=path)
    entries = found.metadata_at(path)
    if isinstance(entries, str):
        raise BadOption(flag, entries)
    return contents.told_of_metadata(entries)


def _json_out(draft: Draft, flag: str, path: Path) -> str:
    if path.is_dir():
        raise refusal(flag, "path.is_a_folder", path=path)
    return say("found.will_be_replaced" if path.exists() else "found.will_be_made")


def _file(draft: Draft, flag: str, path: Path) -> str:
    path = config_path(str(path)) if flag == "config_file" else path
    if path.is_dir():
        raise refusal(flag, "path.is_a_folder", path=path)
    if not path.is_file():
        raise refusal(flag, "path.no_file", path=path)
    return contents.told(flag, path)


def _file_out(draft: Draft, flag: str, path: Path) -> str:
    if not path.exists():
        return say("found.will_be_made")
    _file(draft, flag, path)
    return say("found.will_be_continued", size=size(path.stat().st_size))


def _model_out(draft: Draft, flag: str, path: Path) -> str:
    """A file, or diffusers' folder."""
    return _folder(draft, flag, path) if path.is_dir() else _json_out(draft, flag, path)


def _picture(draft: Draft, flag: str, path: Path) -> str:
    _file(draft, flag, path)
    if path.stat().st_size > LARGEST_THUMBNAIL_BYTES:
        raise refusal(flag, "path.picture_too_large", limit=size(LARGEST_THUMBNAIL_BYTES))
    return contents.told_of_picture(path)


def _deepdanbooru(draft: Draft, flag: str, path: Path) -> str:
    if not (path / "project.json").is_file():
        raise refusal(flag, "path.no_deepdanbooru", path=path)
    return say("found.model_folder")


def _state(draft: Draft, flag: str, path: Path) -> str:
    if not (path / "state.json").is_file():
        raise refusal(flag, "path.no_state", path=path)
    if wrong := damage(path, quick=True):
        raise refusal(flag, "path.state_damaged", path=path, why=from_program(wrong))
    return contents.told_of_state(path)


_TOLD: dict[str, Callable[[Draft, str, Path], str]] = {
    "pictures": _pictures,
    "folder": _folder,
    "model": _model,
    "vae": _model,
    "json_in": _json_in,
    "json_out": _json_out,
    "file": _file,
    "file_out": _file_out,
    "model_out": _model_out,
    "picture": _picture,
    "project": _deepdanbooru,
    "state": _state,
}
