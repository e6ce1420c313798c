"""Runs a script: options first, then the work, then one exit code. Every script is an options class and a function."""

import atexit
import contextlib
import errno
import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from sd_scripts.library import asked, events, systems
from sd_scripts.library.asked import LeftAtOnce
from sd_scripts.library.config_output import write_config
from sd_scripts.library.deferred import defer_unused
from sd_scripts.library.errors import BadFile, FailureKind, NothingToDo, StoppedAsAsked, UserError
from sd_scripts.library.lost_team import SENTENCE, LostTeam, is_lost_team
from sd_scripts.library.report import Report
from sd_scripts.library.shortage import explained, is_out_of_memory
from sd_scripts.library.team import launched
from sd_scripts.library.telling import keep_secret
from sd_scripts.options.cli import parse
from sd_scripts.options.spec import flat_values, option_specs

Options = TypeVar("Options")

# Packages are half a million objects that stay. Python looks at all of them seven times while they are read in, which
# takes a second and finds nothing; what is young is looked at as ever, and is what work leaves behind.
FULL_LOOKS_EVERY = 1000

# A launcher looks at its processes more often than this, but the first one may take seconds to end.
SAY_AFTER_S = 10.0

# What a machine refuses, wherever a file is touched: the name too long, no permission, no room, a device that fails.
_REFUSALS = {
    getattr(errno, name)
    for name in ("ENAMETOOLONG", "EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE")
    if hasattr(errno, name)
}

_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name)}


def run_program(options_class: type[Options], work: Callable[[Options, Report], None]) -> NoReturn:
    """Parses the command line, does the work and exits.

    Exit codes: 0 done, or stopped as asked; 1 the work failed; 2 an option or a file cannot be used;
    130 interrupted a second time. docs/robustness.md has the whole table.
    """
    # On some processors bitsandbytes misses a package for 4-bit inference, which nothing here does.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    defer_unused()
    gc.set_threshold(*gc.get_threshold()[:2], FULL_LOOKS_EVERY)
    report = Report.from_environment()
    if launched().first:
        report.emit(events.Start(script=Path(sys.argv[0]).name, pid=os.getpid()))
    script = Path(sys.argv[0]).name
    launcher_lives = systems.launcher_above()
    if launcher_lives or os.environ.get(events.CONTROL_VARIABLE):
        asked.watch(report.asked, launcher_lives)
    try:
        with contextlib.closing(report):
            code = _run(lambda: parse_and_work(options_class, work, report, sys.argv[1:], script), report)
            report.asked.something_to_keep()
    except LeftAtOnce:
        code = 0
    except KeyboardInterrupt:
        # The second one came when the work had just ended.
        code = 130
    _let_go_of_closed_outputs()
    if launched().size > 1:
        _leave_team(code)
    sys.exit(code)


def _leave_team(code: int) -> NoReturn:
    """Ends as Python does, but for the last of it: there gloo's threads abort a process whose team is gone already."""
    if code == 0:
        # Of a failed one, threads may wait for processes that are no more.
        threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    _let_go_of_closed_outputs()
    os._exit(code)


def parse_and_work(
    options_class: type[Options], work: Callable[[Options, Report], None], report: Report, argv: list[str], script: str
) -> None:
    """Does the work that a command line asks for, or writes its options into a file. Errors: UserError."""
    with _reader_may_leave():
        options = parse(options_class, argv, script)
    for name, spec in option_specs(cast(type, options_class)).items():
        if spec.secret:
            keep_secret(flat_values(options)[name] or "")
    if flat_values(options).get("output_config"):
        write_config(options, report)
    else:
        with _shortage_told(options):
            work(options, report)


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Whoever reads the help has seen enough of it and closed it, as `head` does: that ends it like all of it."""
    try:
        yield
    except BrokenPipeError:
        _let_go_of_closed_outputs()
        raise SystemExit(0) from None
    except SystemExit:
        _let_go_of_closed_outputs()
        raise


@contextlib.contextmanager
def _shortage_told(options: Any) -> Iterator[None]:
    """Memory that ran out where nobody has made a sentence of it. Errors: OutOfMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise explained(error, flat_values(options)) from error


def _run(work: Callable[[], None], report: Report) -> int:
    report.asked.at_once = True
    # What all processes of a team would say, of a stop that reaches all of them, the first one says.
    heard = report if launched().first else report.unheard()
    asked.stop_on_signals(report.asked, heard.say)
    try:
        _explained(work)
        return 0
    except LeftAtOnce:
        return _left(heard)
    except UserError as error:
        if report.asked.leaving:
            return _left(heard)
        if isinstance(error, LostTeam) and report.asked.stops:
            # A second Ctrl+C reached the others first.
            return _interrupted(heard)
        if _said_by_the_first(report):
            return error.exit_code
        report.emit(events.Failed(sentence=str(error), option=getattr(error, "option", None), kind=_kind(error)))
        report.list_failures()
        report.say(f"Error: {error}", "CRITICAL")
        return error.exit_code
    except StoppedAsAsked as stop:
        return _stopped(str(stop), heard)
    except NothingToDo as done:
        heard.summary(str(done))
        return 0
    except KeyboardInterrupt:
        return _interrupted(heard)
    except Exception as error:
        if report.asked.leaving:
            # What a library made of the stop, when it came while it was read in.
            return _left(heard)
        report.emit(events.Failed(sentence=f"The program failed: {type(error).__name__}: {error}"))
        report.say(
            traceback.format_exc() + "This is a fault of the program, not of yours: please report the lines above.",
            "CRITICAL",
        )
        return 1


def _said_by_the_first(report: Report) -> bool:
    """What fails in all processes of a team is said by the first one, at whose end the launcher ends the others.

    Where nobody ends this one, it is the only one that failed.
    """
    if launched().first:
        return False
    until_s = time.monotonic() + SAY_AFTER_S
    while time.monotonic() < until_s and not report.asked.stops:
        time.sleep(0.05)
    return report.asked.stops > 0


def _left(report: Report) -> int:
    report.asked.left = True
    return _stopped("Stopped as asked, before there was a result to keep.", report)


def _interrupted(report: Report) -> int:
    report.emit(events.Failed(sentence="Interrupted before the present step was finished."))
    report.say("Interrupted.", "CRITICAL")
    return 130


def _stopped(sentence: str, report: Report) -> int:
    report.say(sentence)
    report.emit(events.Stopped(sentence=sentence))
    return 0


def _let_go_of_closed_outputs() -> None:
    """Python would end with a code of its own where what it still has to print cannot be printed."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            setattr(sys, name, None)


def _explained(work: Callable[[], None]) -> None:
    """Does the work. Errors: BadFile, also for what the machine refuses and nobody has made a sentence of; LostTeam."""
    try:
        work()
    except RuntimeError as error:
        if launched().size == 1 or not is_lost_team(error):
            raise
        raise LostTeam(SENTENCE) from error
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        name = f"{error.filename}: " if error.filename else ""
        raise BadFile(f"{name}{error.strerror}. Name another file, or see to its folder.") from error


def _kind(error: UserError) -> FailureKind | None:
    """What sort of trouble an error is: a file that cannot be written for want of room is no fault of its name."""
    return "disk_full" if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL else error.kind
