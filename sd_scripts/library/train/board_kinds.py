"""The logs themselves: TensorBoard and wandb, each imported when it is opened. Needs no torch to be read."""

import json
import os
import time
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


class SteadyBoard:
    """A board that never ends the training: one that cannot be written is told once, and opened anew later.

    The figures of the time between are missing in it; the events have them.
    """

    def __init__(self, opened: Callable[[], Board], report: Report) -> None:
        """Errors: BadOption, OSError."""
        self._opened, self._report = opened, report
        self._board: Board | None = opened()
        self._tried_s = 0.0

    def scalars(self, values: dict[str, float], step: int) -> None:
        self._write(lambda board: board.scalars(values, step))

    def picture(self, tag: str, path: Path, caption: str, step: int) -> None:
        self._write(lambda board: board.picture(tag, path, caption, step))

    def close(self, failed: bool) -> None:
        self._write(lambda board: board.close(failed))

    def _write(self, write: Callable[[Board], None]) -> None:
        if self._board is None and time.monotonic() - self._tried_s < OPEN_AGAIN_S:
            return
        self._tried_s = time.monotonic()
        try:
            if self._board is None:
                self._board = self._opened()
                self._report.say("The log of figures is written again.")
            write(self._board)
        except OSError as error:
            if self._board is not None:
                self._report.notice(
                    f"A log of figures cannot be written ({error.strerror}). Training goes on.", "warning"
                )
                with suppress(OSError):
                    self._board.close(failed=True)
            self._board = None


class TensorBoard:
    """Event files in the log's folder."""

    def __init__(self, plan: BoardPlan) -> None:
        from torch.utils.tensorboard import SummaryWriter

        assert plan.folder is not None
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

    def close(self, failed: bool) -> None:
        self._writer.close()

    def _write_config(self, config: dict[str, Any]) -> None:
        """As a table of text, and for the tab HPARAMS."""
        from torch.utils.tensorboard.summary import hparams

        rows = [f"{name} | `{json.dumps(value, ensure_ascii=False)}`" for name, value in config.items()]
        self._writer.add_text("config", "\n".join(["option | value", "---|---", *rows]))
        plain = {n: v if isinstance(v, bool | int | float) else str(v) for n, v in config.items() if v is not None}
        for summary in hparams(plain, {}):
            self._writer.file_writer.add_summary(summary)


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

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=1 if failed else 0)
