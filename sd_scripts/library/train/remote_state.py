"""A state on the Hugging Face hub to go on from, named owner/name/path:revision:type."""

from pathlib import Path
from typing import NamedTuple

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io import repository as repositories
from sd_scripts.library.io.hub import ANSWER_WITHIN_S
from sd_scripts.library.io.repository import KINDS, LOG_IN
from sd_scripts.library.report import Report

_MARK = "state.json"


class RemoteState(NamedTuple):
    """A folder of a repository. Without a revision the newest counts."""

    id: str
    folder: str
    revision: str | None = None
    kind: str = "model"


def parse_remote(resume: str) -> RemoteState:
    """The parts of owner/name/path:revision:type; path, revision and type may be left out. Errors: BadOption."""
    place, *more = resume.split(":")
    owner, _, rest = place.partition("/")
    name, _, folder = rest.partition("/")
    if not (owner and name) or len(more) > 2:
        sentence = "with --resume_from_huggingface it is owner/name/path:revision:type, the last two if needed."
        raise BadOption("resume", f"--resume {resume}: {sentence}")
    repositories.check_name(f"{owner}/{name}", "resume")
    kind = more[1] if len(more) == 2 and more[1] else "model"
    if kind not in KINDS:
        raise BadOption("resume", f"--resume {resume}: {kind} is no kind of repository. Write {' or '.join(KINDS)}.")
    return RemoteState(f"{owner}/{name}", folder.strip("/"), more[0] if more and more[0] else None, kind)


def fetch_state(resume: str, token: str | None, report: Report) -> Path:
    """The folder of a state that was downloaded from the hub, or had been earlier. Errors: BadOption."""
    remote = parse_remote(resume)
    try:
        revision, states = _states(remote, token)
    except Exception as error:  # The hub's client fails in many ways; every one of them is told.
        sentence = f"--resume {resume}: {repositories.reason(error)}. See to that, or name a folder on this machine."
        raise BadOption("resume", f"{sentence} For private repositories {LOG_IN}.") from error
    if remote.folder not in states:
        there = f"States are at: {', '.join(states)}." if states else "It holds none at all."
        raise BadOption("resume", f"--resume {resume}: the repository has no state there. {there}")
    report.phase("download", f"Getting the state {resume} from the hub")
    return _download(remote._replace(revision=revision), token, resume)


def _states(remote: RemoteState, token: str | None) -> tuple[str, list[str]]:
    """(commit, folders that hold a state)."""
    from huggingface_hub import HfApi

    info = HfApi(token=token).repo_info(
        remote.id, repo_type=remote.kind, revision=remote.revision, timeout=ANSWER_WITHIN_S
    )
    names = [file.rfilename for file in info.siblings or []]
    marked = [name for name in names if name.rpartition("/")[2] == _MARK]
    return info.sha, [name.rpartition("/")[0] for name in marked]


def _download(remote: RemoteState, token: str | None, resume: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        whole = snapshot_download(
            remote.id,
            repo_type=remote.kind,
            revision=remote.revision,
            allow_patterns=f"{remote.folder}/*" if remote.folder else None,
            token=token,
        )
    except Exception as error:
        sentence = f"--resume {resume}: it was not downloaded whole: {repositories.reason(error)}."
        raise BadOption("resume", f"{sentence} Start again to go on.") from error
    return Path(whole) / remote.folder
