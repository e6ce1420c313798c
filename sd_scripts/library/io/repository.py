"""A repository of the Hugging Face hub to write to: is it there, may we, and put files into it. Needs no torch."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.hub import ANSWER_WITHIN_S, is_repository

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# A connection on which nothing moves for so long is given up: by itself the hub's client would wait for ever.
SILENT_FOR_S = 120.0
KINDS = ("model", "dataset", "space")
LOG_IN = "set the environment variable HF_TOKEN, log in with `hf auth login`, or give --huggingface_token"


@dataclass(frozen=True)
class Repository:
    """A repository by its id, owner/name. Without a token the one of the environment or of the log-in counts."""

    id: str
    kind: str = "model"
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"


def check_name(id: str, option: str) -> None:
    """Raises BadOption for what cannot be a repository's name."""
    if not is_repository(id):
        raise BadOption(option, f"--{option} {id}: a repository is named by its owner and its name: owner/name.")


def make_ready(repository: Repository, private: bool) -> bool:
    """Sees that the repository is there and may be written to; makes it when it is missing. Gives whether it did.

    Errors: BadOption.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    if not (repository.token or get_token()):
        raise BadOption("huggingface_token", f"Uploads to the hub need a token: {LOG_IN}.")
    api = _api(repository)
    try:
        api.repo_info(repository.id, repo_type=repository.kind, timeout=ANSWER_WITHIN_S)
    except RepositoryNotFoundError:
        _make(repository, private)
        return True
    except Exception as error:  # The hub's client fails in many ways; every one of them is told.
        raise _unusable(repository, error) from error
    try:
        api.auth_check(repository.id, repo_type=repository.kind, write=True)
    except Exception as error:
        # A hub that lacks this question answers with another status: the first upload will tell.
        if _status(error) in (401, 403):
            raise _unusable(repository, error) from error
    return False


def upload(repository: Repository, source: Path, place: str) -> None:
    """Puts a file, or all files of a folder, at a place in the repository, in one commit. Any error may come."""
    from huggingface_hub import CommitOperationAdd

    if not source.exists():
        raise FileNotFoundError(source)
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    targets = [(PurePosixPath(place) / file.relative_to(source).as_posix()).as_posix() for file in files]
    additions = [CommitOperationAdd(target, file) for target, file in zip(targets, files, strict=True)]
    api = _api(repository)
    for addition in additions:
        # One by one: several at once would run in threads that keep a program from ending when it is interrupted.
        api.preupload_lfs_files(repository.id, [addition], repo_type=repository.kind, free_memory=False)
    api.create_commit(repository.id, additions, commit_message=f"Upload {source.name}", repo_type=repository.kind)


def reason(error: BaseException) -> str:
    """Why the hub did not do as asked, in a few words. Never its addresses: some carry signatures."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import httpx

    cause = error
    while cause.__cause__ and not isinstance(cause, HfHubHTTPError | httpx.HTTPError):
        cause = cause.__cause__
    if isinstance(cause, HfHubHTTPError | httpx.HTTPStatusError):
        status = cause.response.status_code
        return _STATUSES.get(status, f"the hub answered with status {status}")
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(cause, httpx.TransportError):
        return f"the hub cannot be reached, or the connection broke off ({type(cause).__name__})"
    if isinstance(cause, FileNotFoundError):
        return "the file was removed before it was uploaded"
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


_STATUSES = {
    401: "the hub does not know the token",
    403: "the token may not write there",
    404: "the hub has no such repository, or hides it from this token",
    413: "the hub takes no files of this size",
    429: "the hub asks to come back later",
    507: "there is no room left on the hub",
}


def _api(repository: Repository) -> "HfApi":
    from huggingface_hub import HfApi
    from huggingface_hub.utils import get_session

    get_session().timeout = SILENT_FOR_S
    return HfApi(token=repository.token)


def _make(repository: Repository, private: bool) -> None:
    if repository.kind == "space":
        # A space needs a program of a kind that only its owner knows.
        sentence = f"--huggingface_repo_id: there is no space {repository.id} to upload to. Make it on the hub first."
        raise BadOption("huggingface_repo_id", sentence)
    try:
        _api(repository).create_repo(repository.id, repo_type=repository.kind, private=private, exist_ok=True)
    except Exception as error:
        raise _unusable(repository, error) from error


def _unusable(repository: Repository, error: Exception) -> BadOption:
    status = _status(error)
    if status == 401:
        return BadOption("huggingface_token", f"Uploads to {repository}: {reason(error)}. To have another, {LOG_IN}.")
    what = f"--huggingface_repo_id {repository.id}: {reason(error)}"
    if status == 403:
        return BadOption("huggingface_repo_id", f"{what}. Use a token with write access, or another repository.")
    return BadOption("huggingface_repo_id", f"{what}. Try again later, or leave the option out and upload afterwards.")


def _status(error: Exception) -> int | None:
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None
