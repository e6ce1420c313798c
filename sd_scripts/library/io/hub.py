"""Models from the Hugging Face hub: fetched once, resumed where a download broke off, then found without a network."""

from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.reading import parse_json, read_text

ANSWER_WITHIN_S = 10.0

# Of the same weights in several formats, the first that is there; the index names the parts of a file that is split.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def model_folder(name: str, option: str) -> Path:
    """The folder of a transformers model: `name` itself when it is one, else the hub's, downloaded when it is needed.

    Errors: BadOption, naming `option`, when there is neither; BadFile, when a download cannot be finished.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not is_repository(name):
        raise BadOption(option, f"--{option} {name}: there is no such folder, and it is no hub id such as owner/model.")
    return _cached(name) or _fetch_model(name, option)


def is_repository(name: str) -> bool:
    """Whether `name` could be a hub id, which is an owner and a model: "owner/model"."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def file_names(repository: str, option: str) -> list[str]:
    """The files of a repository, as the hub lists them. Errors: BadOption, naming `option` and what would do."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
    from huggingface_hub.utils import HFValidationError, httpx

    try:
        return [file.rfilename for file in HfApi().model_info(repository, timeout=ANSWER_WITHIN_S).siblings or []]
    except GatedRepoError as error:
        what = "asks for an agreement on its page, and for a token in the environment variable HF_TOKEN"
        raise BadOption(option, f"--{option}: the hub's {repository} {what}.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BadOption(
            option, f"--{option}: the hub has no {repository}. Check its spelling, or name a folder."
        ) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise BadOption(option, _unreachable(repository, option)) from error


def download(repository: str, name: str, folder: Path | None = None, force: bool = False) -> Path:
    """Fetches one file, into `folder` or the hub's cache, and gives its path. A broken download goes on where it was.

    Errors: BadFile.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import httpx

    try:
        return Path(hf_hub_download(repository, name, local_dir=folder, force_download=force))
    except (httpx.HTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile(f"{name} of {repository} was not downloaded whole ({reason}). Start again to go on.") from error


def _unreachable(repository: str, option: str) -> str:
    return (
        f"--{option}: {repository} is not on this machine, and the hub cannot be reached to download it. "
        f"Connect to the network, or give --{option} a local folder."
    )


def _cached(repository: str) -> Path | None:
    """The folder of an earlier download, when it is complete: weights are fetched last, so they tell."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if any(_complete(folder, name) for name in WEIGHTS) else None


def _complete(folder: Path, name: str) -> bool:
    return (folder / name).is_file() and all((folder / part).is_file() for part in _parts(folder / name))


def _parts(index: Path) -> list[str]:
    """The files that an index names. Errors: BadFile."""
    if not index.name.endswith(".index.json"):
        return []
    try:
        return sorted({_plain_name(part) for part in parse_json(read_text(index))["weight_map"].values()})
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise BadFile(f"{index} cannot be read as JSON ({error}). Download or copy the model again.") from error


def _plain_name(part: Any) -> str:
    if not isinstance(part, str):
        raise ValueError("it names files by something else than texts")
    return part


def _fetch_model(repository: str, option: str) -> Path:
    names = file_names(repository, option)
    weights = next((name for name in WEIGHTS if name in names), None)
    if weights is None or "config.json" not in names:
        raise BadOption(option, f"--{option}: the hub's {repository} holds no model that transformers can load.")
    for name in names:
        if "/" not in name and name.endswith((".json", ".txt")) and name not in WEIGHTS:
            download(repository, name)
    path = download(repository, weights)
    for part in _parts(path):
        download(repository, part)
    return path.parent
