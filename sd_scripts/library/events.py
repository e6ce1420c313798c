"""What a script tells the world while it works, and what it is asked.

Events go as JSON lines to the file named in SD_SCRIPTS_EVENTS; requests come in as JSON lines from the file named in
SD_SCRIPTS_CONTROL. Their fields and types are declared here, once, for the writer and for every reader.
This module needs no torch: the page imports it.
"""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from sd_scripts.library.io.reading import parse_json

VERSION = 2
EVENTS_VARIABLE = "SD_SCRIPTS_EVENTS"
CONTROL_VARIABLE = "SD_SCRIPTS_CONTROL"

Request = Literal["sample", "save", "stop_after_epoch", "stop", "try_again", "save_elsewhere"]
REQUESTS: tuple[Request, ...] = get_args(Request)

PauseKind = Literal["full", "gone", "refused", "pictures"]

# Where weights change within the backward pass, that has no time of its own: optimizer_s is left out.
STEP_PARTS = ("data_s", "forward_s", "backward_s", "optimizer_s")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the events file; `event` names its class."""

    event: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class Start(Event):
    """The first event of every script."""

    event: ClassVar[str] = "start"
    script: str
    pid: int
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class Phase(Event):
    """A named phase begins (and the one before it has ended). `name` is an identifier that the page translates."""

    event: ClassVar[str] = "phase"
    name: str
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How far the present phase is. `rate_per_s` and `eta_s` are None until they can be told."""

    event: ClassVar[str] = "progress"
    phase: str
    done: int
    total: int | None
    rate_per_s: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Metric(Event):
    """Figures of one optimizer step: `loss`, `loss_average`, `lr`, `lr/<part>`, `grad_norm`.

    Of the machine: `step_s` and its parts (STEP_PARTS); `memory_bytes` of the process; on a GPU `gpu_bytes`,
    `gpu_peak_bytes`, `gpu_total_bytes`.
    """

    event: ClassVar[str] = "metric"
    step: int
    epoch: int
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Validation(Event):
    """The loss of the pictures that are held out, after a step; `epoch` counts from 1."""

    event: ClassVar[str] = "validation"
    step: int
    epoch: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Sample(Event):
    """A sample picture was written. `index` is the prompt's place in the prompt file, from 0.

    `label`: of a picture that was not drawn in training, what drew it; its `step` is a place among those then.
    """

    event: ClassVar[str] = "sample"
    path: str
    prompt: str
    index: int
    step: int
    epoch: int
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """A file or folder was written whole. `kind`: model, state, metadata, text, latents. `sha256`: of a file."""

    event: ClassVar[str] = "saved"
    path: str
    kind: str
    size_bytes: int
    step: int | None = None
    epoch: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class ItemFailed(Event):
    """One item (a picture, a text) was left out, with the reason in words."""

    event: ClassVar[str] = "item_failed"
    item: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something the user should know."""

    event: ClassVar[str] = "notice"
    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Something cannot be written at the moment. All is kept in memory, and it is tried again until it works.

    `elsewhere`: whether another folder can be named for it. Bytes are None where they are not known.
    """

    event: ClassVar[str] = "paused"
    path: str
    reason: str
    kind: PauseKind
    free_bytes: int | None = None
    needed_bytes: int | None = None
    elsewhere: bool = False


@dataclass(frozen=True, kw_only=True)
class GoesOn(Event):
    """A pause is over."""

    event: ClassVar[str] = "goes_on"


@dataclass(frozen=True, kw_only=True)
class Branched(Event):
    """Training goes on from a state, after its `step`, with changed options: {option: [what it was, what it is]}."""

    event: ClassVar[str] = "branched"
    state: str
    step: int
    changes: dict[str, list[Any]]


@dataclass(frozen=True, kw_only=True)
class Summary(Event):
    """The end of the work: how many of what, and tables for the page (such as `buckets`)."""

    event: ClassVar[str] = "summary"
    counts: dict[str, int]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The script ends without success. `option` is the field to blame, where there is one; `kind` as in errors.py."""

    event: ClassVar[str] = "failed"
    sentence: str
    option: str | None = None
    kind: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """The script ended early because it was asked to; what it had done is kept."""

    event: ClassVar[str] = "stopped"
    sentence: str


_ALL = (
    Start, Phase, Progress, Metric, Validation, Sample, Saved, ItemFailed, Notice, Paused, GoesOn, Branched, Summary,
    Failed, Stopped,
)  # fmt: skip
KINDS: dict[str, type[Event]] = {kind.event: kind for kind in _ALL}


def to_line(event: Event, now_s: float | None = None) -> str:
    """The event as one line of JSON, with its kind and its time (Unix seconds)."""
    record = {"event": event.event, "time": round(time.time() if now_s is None else now_s, 3), **vars(event)}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def from_line(line: str) -> tuple[float, Event] | None:
    """(time, event) of a line; None for a line cut short, or of a kind or with a field that this version lacks."""
    try:
        record = parse_json(line)
        kind = KINDS[record.pop("event")]
        now_s = float(record.pop("time"))
        return now_s, kind(**record)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


class LineReader:
    """Follows a growing file: each call of `new_lines` gives the complete lines that came since the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def new_lines(self) -> list[str]:
        """The new lines without their ends; a last line without its end waits for the next call."""
        try:
            # To ask for the size is cheap; many pages ask far more often than anything comes.
            if os.stat(self.path).st_size == self.offset:
                return []
            with open(self.path, "rb") as stream:
                stream.seek(self.offset)
                data = stream.read()
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self.offset += len(complete)
        # Not splitlines: it also splits at signs such as U+2028, which a prompt may hold.
        return complete.decode("utf-8", errors="replace").split("\n")[:-1]


class Requests:
    """What the script is asked to do while it works; read between steps or items."""

    def __init__(self, path: Path | None) -> None:
        self._reader = LineReader(path) if path else None
        self.prompts: str | None = None
        """The file of prompts that came with the last request for samples that named one."""
        self.folder: str | None = None
        """The folder that came with the last request to save elsewhere."""

    @classmethod
    def from_environment(cls) -> "Requests":
        """Reads the file that SD_SCRIPTS_CONTROL names, if it is set."""
        name = os.environ.get(CONTROL_VARIABLE)
        return cls(Path(name) if name else None)

    def take(self) -> list[Request]:
        """The requests that came since the last call, in order; unknown ones are left out."""
        if self._reader is None:
            return []
        asked = []
        for line in self._reader.new_lines():
            try:
                found = parse_json(line)
                asked.append(found["request"])
                self.prompts = found.get("prompts") or self.prompts
                self.folder = found.get("folder") or self.folder
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return [request for request in asked if request in REQUESTS]


def request_line(request: Request, prompts: str | None = None, folder: str | None = None) -> str:
    """A request as one line of JSON, as `Requests` reads it.

    Samples may be asked for of a file of `prompts`; saving elsewhere names a `folder`.
    """
    named = {name: value for name, value in (("prompts", prompts), ("folder", folder)) if value}
    return json.dumps({"request": request, "time": round(time.time(), 3), **named}) + "\n"
