"""The logs themselves: TensorBoard and wandb, each imported when it is opened. Needs no torch to be read."""

import errno
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report

PROJECT = "finetuning"
# A log that could not be written is tried again after so long.
OPEN_AGAIN_S = 60.0
# What a log was given is certainly in its files after so long, and until then kept here too: some MB at the most.
FLUSHED_EVERY_S = 5.0
MOST_KEPT = 10_000
# wandb would store the command line with its secrets, the paths of this machine and what the terminal showed.
_PRIVATE = {"x_disable_meta": True, "disable_git": True, "disable_code": True, "console": "off"}


@dataclass(frozen=True)
class BoardPlan:
    """What a board is opened with. `config`: the options to log; `table`: the settings of log_tracker_config."""

    folder: Path | None
    project: str | None
    run_name: str | None
    api_key: str | None
    config: dict[str, Any] = field(default_factory=dict)
    table: dict[str, Any] = field(default_factory=dict)


class Board(Protocol):
    """A log of figures and pictures."""

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Logs figures after a step."""

    def picture(self, tag: str, path: Path, caption: str, step: int) -> None:
        """Logs a picture."""

    def close(self, failed: bool) -> None:
        """Ends the log."""


class Flushed(Board, Protocol):
    """A board that may lose what it was given last."""

    def flush(self) -> None:
        """What it was given is in its files afterwards. Errors: OSError."""


class SteadyBoard:
    """A board that never ends the training: one that cannot be written is told once, and opened anew later.

    What was not written by then is kept, up to MOST_KEPT figures and pictures, and written when it can be.
    """

    def __init__(self, opened: Callable[[], Flushed], report: Report, folder: Path | None = None) -> None:
        """`folder`: where it lies; where that is gone, it is waited for, not made anew. Errors: BadOption, OSError."""
        self._opened, self._report, self._folder = opened, report, folder
        self._board: Flushed | None = opened()
        self._unwritten: deque[Callable[[Flushed], None]] = deque(maxlen=MOST_KEPT)
        self._tried_s = self._flushed_s = time.monotonic()
        self._told = False

    def scalars(self, values: dict[str, float], step: int) -> None:
        self._write(lambda board: board.scalars(values, step))

    def picture(self, tag: str, path: Path, caption: str, step: int) -> None:
        def write(board: Flushed) -> None:
            if path.is_file():
                board.picture(tag, path, caption, step)

        self._write(write)

    def close(self, failed: bool) -> None:
        self._attempt([], flush=bool(self._unwritten))
        if self._board is not None:
            with suppress(OSError):
                self._board.close(failed)
        elif self._unwritten:
            count = f"{len(self._unwritten):,}"
            self._report.notice(f"The log of figures lacks entries that could not be written: {count}.", "warning")

    def _write(self, write: Callable[[Flushed], None]) -> None:
        self._unwritten.append(write)
        now_s = time.monotonic()
        if self._board is not None:
            due = now_s - self._flushed_s >= FLUSHED_EVERY_S or len(self._unwritten) == MOST_KEPT
            self._attempt([write], flush=due)
        elif now_s - self._tried_s >= OPEN_AGAIN_S:
            self._attempt([], flush=True)

    def _attempt(self, new: list[Callable[[Flushed], None]], flush: bool) -> None:
        """Writes what is new, or all that is kept where the board has to be opened again."""
        self._tried_s = time.monotonic()
        try:
            if self._board is None:
                self._board, new = self._opened_again(), list(self._unwritten)
            for write in new:
                write(self._board)
            if flush:
                self._board.flush()
                self._unwritten.clear()
                self._flushed_s = time.monotonic()
        except OSError as error:
            self._give_up(error)
            return
        if self._told and not self._unwritten:
            self._report.say("The log of figures is written again.")
            self._told = False

    def _opened_again(self) -> Flushed:
        if self._folder and not self._folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._folder))
        return self._opened()

    def _give_up(self, error: OSError) -> None:
        if not self._told:
            self._report.notice(f"A log of figures cannot be written ({error.strerror}). Training goes on.", "warning")
            self._told = True
        if self._board is not None:
            with suppress(OSError):
                self._board.close(failed=True)
        self._board = None


class TensorBoard:
    """Event files in the log's folder."""

    def __init__(self, plan: BoardPlan) -> None:
        from torch.utils.tensorboard import SummaryWriter

        assert plan.folder is not None
        _hush_writers()
        self._writer = SummaryWriter(str(plan.folder / (plan.project or "")), **plan.table)
        if plan.config:
            self._write_config(plan.config)

    def scalars(self, values: dict[str, float], step: int) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def picture(self, tag: str, path: Path, caption: str, step: int) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self._writer.add_image(tag, np.array(picture), step, dataformats="HWC")
        self._writer.add_text(f"{tag}/prompt", caption, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self, failed: bool) -> None:
        # Closing all of it would leave its thread behind where the last words cannot be written.
        self._writer.file_writer.close()

    def _write_config(self, config: dict[str, Any]) -> None:
        """As a table of text, and for the tab HPARAMS."""
        from torch.utils.tensorboard.summary import hparams

        rows = [f"{name} | `{json.dumps(value, ensure_ascii=False)}`" for name, value in config.items()]
        self._writer.add_text("config", "\n".join(["option | value", "---|---", *rows]))
        plain = {n: v if isinstance(v, bool | int | float) else str(v) for n, v in config.items() if v is not None}
        for summary in hparams(plain, {}):
            self._writer.file_writer.add_summary(summary)


def _hush_writers() -> None:
    """TensorBoard writes in a thread that prints 30 lines where it cannot, and raises the error at the next call."""
    usual = threading.excepthook
    if getattr(usual, "hushes_writers", False):
        return

    def hook(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, OSError) and type(args.thread).__module__.startswith("tensorboard.")):
            usual(args)

    hook.hushes_writers = True  # type: ignore[attr-defined]
    threading.excepthook = hook


class Wandb:
    """A run in wandb."""

    def __init__(self, plan: BoardPlan) -> None:
        import wandb

        if plan.api_key:
            # For this process only: wandb.login would write it into a file.
            os.environ["WANDB_API_KEY"] = plan.api_key
        if plan.folder:
            plan.folder.mkdir(parents=True, exist_ok=True)
        own = {"project": plan.project or PROJECT, "name": plan.run_name, "dir": plan.folder}
        settings = _PRIVATE | plan.table.get("settings", {})
        config = plan.config | plan.table.get("config", {})
        try:
            self._run = wandb.init(**{**own, **plan.table, "settings": settings, "config": config})
        except Exception as error:  # its own errors, and those of what it is built on
            advice = "Set WANDB_API_KEY, or WANDB_MODE=offline to send nothing."
            why = str(error).rstrip(".")
            raise BadOption("log_with", f"--log_with: wandb does not start: {why}. {advice}") from error
        self._image = wandb.Image

    def scalars(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def picture(self, tag: str, path: Path, caption: str, step: int) -> None:
        self._run.log({tag: self._image(str(path), caption=caption)}, step=step)

    def flush(self) -> None:
        """It keeps what it was given in files of its own, and sends it itself."""

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=1 if failed else 0)
