"""Where figures and samples are logged: which boards are asked for, and what each is opened with. Needs no torch."""

import importlib.util
import inspect
import netrc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePath
from typing import Any, cast
from urllib.parse import urlsplit

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.reading import parse_toml, read_text
from sd_scripts.library.notice import Notice
from sd_scripts.library.report import Report
from sd_scripts.library.train.board_kinds import Board, BoardPlan, Flushed, SteadyBoard, TensorBoard, Wandb
from sd_scripts.options.spec import flat_values, option_specs
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.training import LoggingOptions

# Where wandb finds a key or its like, and the ways in which it needs none.
_WANDB_KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
_WANDB_SILENT = ("offline", "dryrun", "disabled")
# What SummaryWriter takes besides its folder.
_TENSORBOARD_SETTINGS = ("purge_step", "max_queue", "flush_secs", "filename_suffix")


@contextmanager
def open_boards(options: TrainerOptions, main: bool, report: Report) -> Iterator[list[Board]]:
    """The boards that the options ask for, open for a while; none but in the main process. Errors: BadOption."""
    boards: list[Board] = []
    try:
        for name in board_names(options.logging) if main else []:
            plan = _plan(name, options)
            boards.append(SteadyBoard(partial(_BOARDS[name], plan), report, plan.folder))
        yield boards
    except BaseException:
        for board in boards:
            board.close(failed=True)
        raise
    for board in boards:
        board.close(failed=False)


def board_names(logging: LoggingOptions) -> list[str]:
    """Which boards are asked for; TensorBoard where only a folder is given."""
    asked = logging.log_with or ("tensorboard" if logging.logging_dir else None)
    return list(_BOARDS) if asked == "all" else [asked] if asked else []


def check_boards(logging: LoggingOptions) -> None:
    """Every board that is asked for can be opened, as far as that can be told before. Errors: BadOption."""
    names = board_names(logging)
    if "tensorboard" in names and not logging.logging_dir:
        raise BadOption(
            "logging_dir", f"--log_with {logging.log_with} needs --logging_dir: the folder for TensorBoard's logs."
        )
    if "wandb" in names and importlib.util.find_spec("wandb") is None:
        sentence = f'--log_with {logging.log_with} needs the package wandb: "{sys.executable}" -m pip install wandb'
        raise BadOption("log_with", sentence)
    _tables(logging)
    if "wandb" in names and not wandb_can_start(logging):
        advice = "Set WANDB_API_KEY or log in with `wandb login`, or set WANDB_MODE=offline to send nothing"
        raise BadOption("log_with", f"--log_with {logging.log_with}: wandb has no key. {advice}.")


def wandb_can_start(logging: LoggingOptions) -> bool:
    """Whether wandb needs no key, as it sends nothing, or has one: given, in the environment, or of a login."""
    table = _tables(logging).get("wandb", {})
    mode = table.get("mode") or table.get("settings", {}).get("mode") or os.environ.get("WANDB_MODE")
    given = logging.wandb_api_key or any(os.environ.get(name) for name in _WANDB_KEYS)
    return mode in _WANDB_SILENT or bool(given) or _logged_in()


def _logged_in() -> bool:
    """Whether `wandb login` has left a key for its server."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    own = os.environ.get("NETRC")
    for file in [Path(own)] if own else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            if netrc.netrc(file.expanduser()).authenticators(host):
                return True
    return False


def idle_logging(logging: LoggingOptions) -> list[Notice]:
    """A sentence for each option that has no effect, as what it belongs to is not asked for."""
    needs = {
        "wandb": (["wandb_run_name", "wandb_api_key"], "--log_with wandb"),
        "": (["log_prefix", "log_tracker_name", "log_tracker_config", "log_config"], "--logging_dir or --log_with"),
    }
    names = board_names(logging)
    return [
        Notice(flag, f"--{flag} has no effect without {needed}.")
        for board, (flags, needed) in needs.items()
        for flag in flags
        if getattr(logging, flag) and not (board in names if board else names)
    ]


def logged_options(options: Any) -> dict[str, Any]:
    """The options of a run as they may be shown to others: no secrets, of paths only the last part."""
    specs = option_specs(cast(type, type(options)))
    values = {name: value for name, value in flat_values(options).items() if not specs[name].secret}
    return {name: _last_part(value) if specs[name].path else value for name, value in values.items()}


def _plan(board: str, options: TrainerOptions) -> BoardPlan:
    logging = options.logging
    date = f"{logging.log_prefix or ''}{time.strftime('%Y%m%d%H%M%S')}"
    return BoardPlan(
        folder=Path(logging.logging_dir) / date if logging.logging_dir else None,
        project=logging.log_tracker_name,
        run_name=logging.wandb_run_name,
        api_key=logging.wandb_api_key,
        config=logged_options(options) if logging.log_config else {},
        table=_tables(logging).get(board, {}),
    )


def _last_part(path: Any) -> Any:
    if isinstance(path, list):
        return [_last_part(one) for one in path]
    return PurePath(path.replace("\\", "/")).name if path else path


def _tables(logging: LoggingOptions) -> dict[str, dict[str, Any]]:
    """{board: settings} of log_tracker_config. Errors: BadOption."""
    path = logging.log_tracker_config
    if not path:
        return {}
    option = f"--log_tracker_config {path}"
    try:
        tables = parse_toml(read_text(path))
    except OSError as error:
        raise BadOption("log_tracker_config", f"{option} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # both of broken TOML and of what is no UTF-8
        raise BadOption("log_tracker_config", f"{option} is no TOML: {error}.") from error
    for name, table in tables.items():
        if name not in _BOARDS or not isinstance(table, dict):
            raise BadOption("log_tracker_config", f'{option}: "{name}" is not known. Write [tensorboard] or [wandb].')
        if name in board_names(logging):
            _check_settings(option, name, table)
    return tables


def _check_settings(option: str, board: str, table: dict[str, Any]) -> None:
    known = _TENSORBOARD_SETTINGS if board == "tensorboard" else _wandb_settings()
    for name in table:
        if name not in known:
            raise BadOption(
                "log_tracker_config", f"{option}: [{board}] has no setting {name}. It knows {', '.join(known)}."
            )
        kind = str if name == "filename_suffix" else int
        if board == "tensorboard" and type(table[name]) is not kind:
            what = "text, in quotes" if kind is str else "a whole number"
            raise BadOption("log_tracker_config", f"{option}: {name} of [{board}] must be {what}.")


def _wandb_settings() -> tuple[str, ...]:
    import wandb

    return tuple(inspect.signature(wandb.init).parameters)


_BOARDS: dict[str, Callable[[BoardPlan], Flushed]] = {"tensorboard": TensorBoard, "wandb": Wandb}
