"""Finds captioning models. Needs no torch, so that a wrong name is said at once."""

from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io import hub
from sd_scripts.library.io.reading import parse_json, read_text


def find_blip(weights: str) -> Path:
    """A folder saved by transformers, by path or hub id, or the original .pth. Errors: BadOption, BadFile."""
    if weights.startswith(("http://", "https://")):
        what = "this is an address. Download the file and name it here, or leave the option out"
        raise BadOption("caption_weights", f"--caption_weights {weights}: {what}.")
    if Path(weights).is_file():
        return Path(weights)
    return _checked(hub.model_folder(weights, "caption_weights"), "blip", "caption_weights")


def find_git(model_id: str) -> Path:
    """A folder saved by transformers, by path or hub id. Errors: BadOption, BadFile."""
    return _checked(hub.model_folder(model_id, "model_id"), "git", "model_id")


def _checked(folder: Path, kind: str, option: str) -> Path:
    """The folder, when it is a transformers model of this kind."""
    try:
        found = parse_json(read_text(folder / "config.json"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadOption(
            option, f"--{option} {folder}: no model in it; a config.json that names one is missing."
        ) from error
    if found != kind:
        raise BadOption(option, f"--{option} {folder}: this is a {found} model, and {kind} is needed.")
    return folder
