"""What is started here ends with us, and so do the folders: a stop is passed on to every program, and waited for."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sd_scripts.library import systems
from sd_scripts.library.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[1]

PATIENCE_S = 20.0
"""So long a program may take to end by itself once it was asked: a training finishes its step."""

OF_A_STAGE_S = 120.0
"""And a benchmark, which waits for what it has started, and removes its files."""

GRACE_S = 5.0
"""So long it may take when it was asked again; then it is ended hard."""

STOPPED = 130
"""The exit code of what was stopped."""

_WITHIN = "BENCHMARKS_WITHIN"
"""Set for a benchmark that another one has started, which speaks for both."""


class _Stops:
    """Whether this process was asked to stop, and what is to end before it does.

    `held`: of the main thread, which is not to be interrupted where it starts, ends or removes something.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.held = 0
        self.children: dict[systems.ProcessId, float] = {}
        self.told: set[systems.ProcessId] = set()
        self.owner = os.getpid()

    def hear(self, number: int, frame: Any) -> None:
        """Passes a stop on to all children, and interrupts the main thread."""
        if os.getpid() != self.owner:
            # A worker, made by fork: it ends with its pool. Ctrl+C comes from the terminal to all of them.
            if number != signal.SIGINT:
                os._exit(128 + number)
            return
        if not self.asked.is_set():
            self.asked.set()
            # Not here: threads wait for children too, and this one may wait for those threads.
            threading.Thread(target=self.end_all, daemon=True).start()
        if not self.held:
            raise KeyboardInterrupt

    def end_all(self) -> None:
        """Ends all children."""
        there = list(self.children)
        for child in there:
            self._tell(child)
        for child in there:
            self.end(child)

    def end(self, child: systems.ProcessId) -> None:
        """Asks a child to end, waits for that, and ends what is left of its session."""
        self._tell(child)
        until_s = time.monotonic() + self.children.get(child, 0.0)
        while systems.is_alive(child) and time.monotonic() < until_s:
            time.sleep(0.05)
        systems.stop_tree(child, grace_s=GRACE_S)

    def _tell(self, child: systems.ProcessId) -> None:
        # A second stop would have it leave where it stands. On Windows the console has told it already.
        if child not in self.told and not systems.WINDOWS:
            self.told.add(child)
            with suppress(OSError):
                os.kill(child.pid, signal.SIGTERM)


_STOPS = _Stops()


def stoppable(main: Callable[[], int]) -> int:
    """The exit code of a program that a stop signal ends, whichever it is; and one sentence for what a user can mend.

    What it has started is ended, what it was writing removed, and then it says so in a line.
    """
    global _STOPS
    _STOPS = _Stops()
    systems.hear_stops(_STOPS.hear)
    try:
        code = main()
    except BaseException as error:
        # Pools and libraries make other errors of a stop on its way up.
        if not (isinstance(error, UserError) or _STOPS.asked.is_set()):
            raise
        code = getattr(error, "exit_code", STOPPED)
        if not _STOPS.asked.is_set():
            print(f"Error: {error}", file=sys.stderr, flush=True)
    if not _STOPS.asked.is_set():
        return code
    _STOPS.held += 1
    if _WITHIN not in os.environ:
        print("Stopped.", file=sys.stderr, flush=True)
    return STOPPED


@contextmanager
def started(
    argv: Sequence[str | Path],
    cwd: Path = REPOSITORY,
    env: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
    **outputs: Any,
) -> Iterator[subprocess.Popen[Any]]:
    """Python with arguments, in a session of its own: a stop reaches it through us, once.

    If it still runs when the block is left by an error, it is asked to end and has `patience_s` for that.
    Errors: KeyboardInterrupt, where we were stopped, whatever became of it.
    """
    words = [sys.executable, *map(str, argv)]
    usual = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    _go_on()
    child = None
    try:
        with _held():
            process = subprocess.Popen(words, cwd=cwd, env=env or usual, start_new_session=True, **outputs)
            child = systems.identify(process.pid) or systems.ProcessId(process.pid, time.time())
            _STOPS.children[child] = patience_s
        _go_on()
        yield process
    except BaseException:
        with _held():
            if child:
                _STOPS.end(child)
        raise
    finally:
        with _held():
            if child:
                process.wait()
                _STOPS.children.pop(child, None)
    _go_on()


@contextmanager
def room(within: Path | None = None) -> Iterator[Path]:
    """A folder to work in, for the programs that are started meanwhile too: it is gone at the end, however that comes.

    Even what was ended hard leaves nothing elsewhere.
    """
    before = os.environ.get("TMPDIR")
    folder = None
    try:
        with _held():
            folder = tempfile.mkdtemp(prefix="benchmarks-", dir=within and within.resolve())
            os.environ["TMPDIR"] = folder
        _go_on()
        yield Path(folder)
    finally:
        with _held():
            os.environ.pop("TMPDIR", None)
            os.environ |= {"TMPDIR": before} if before else {}
            if folder:
                shutil.rmtree(folder, ignore_errors=True)


def within_another() -> dict[str, str]:
    """The environment of a benchmark that this one starts and speaks for."""
    return os.environ | {_WITHIN: "1"}


@contextmanager
def _held() -> Iterator[None]:
    """Meanwhile a stop is noted only. The handler runs in the main thread alone, so others need no such thing."""
    main = threading.current_thread() is threading.main_thread()
    _STOPS.held += main
    try:
        yield
    finally:
        _STOPS.held -= main


def _go_on() -> None:
    """Errors: KeyboardInterrupt, where a stop was noted."""
    if _STOPS.asked.is_set():
        raise KeyboardInterrupt
