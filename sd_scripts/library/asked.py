"""What a process is asked while it works: to stop, to save, to draw; by signals, and by the file of requests."""

import ctypes
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from sd_scripts.library.events import Request, Requests
from sd_scripts.library.systems import hear_stops

LOOK_EVERY_S = 0.5
# So long the work may take to leave, once it is to leave at once.
LEAVE_WITHIN_S = 10.0
RAISE_EVERY_S = 1.0


class LeftAtOnce(KeyboardInterrupt):
    """A stop came before there was anything to keep. No Exception: no library on the way may take it for its own."""


class Asked:
    """What was asked and is not yet answered. One per process; threads may call it."""

    def __init__(self, requests: Requests | None = None) -> None:
        self._requests = requests or Requests(None)
        self._open: list[Request] = []
        # A signal comes at any moment, also while this thread holds the lock.
        self._from_within: deque[Request] = deque()
        self._lock = threading.Lock()
        self._fixed = False
        self.stops = 0
        """How often a stop was asked for."""
        self.at_once = False
        """Whether a stop ends the process where it stands, as there is nothing to keep yet."""

        self.leaving = False
        """Whether it ends where it stands, since a stop came while there was nothing to keep."""
        self.left = False
        """Whether the work has ended for that reason."""

    def ask(self, request: Request) -> None:
        """Asks from within the process, as Ctrl+C does."""
        self._from_within.append(request)
        self.stops += request == "stop"

    def take_all(self) -> list[Request]:
        """What was asked since the last call."""
        self._read()
        with self._lock:
            taken, self._open = self._open, []
        return taken

    def take(self, request: Request) -> bool:
        """Whether this was asked since the last call; other requests stay."""
        self._read()
        with self._lock:
            there = request in self._open
            self._open = [one for one in self._open if one != request]
        return there

    def stop_asked(self) -> bool:
        """Whether a stop was asked for, now or before. From the first question on the work has places to end at."""
        self.at_once = self.at_once and self._fixed
        self._read()
        return "stop" in self._open

    def nothing_to_keep(self) -> None:
        """From now on a stop ends the process where it stands, whatever the work asks in between."""
        self.at_once = self._fixed = True

    def something_to_keep(self) -> None:
        """From now on a stop waits until the work asks for it."""
        self.at_once = self._fixed = False

    @property
    def prompts(self) -> str | None:
        """The file of prompts that came with a request for samples."""
        return self._requests.prompts

    @property
    def folder(self) -> str | None:
        """The folder that came with a request to save elsewhere."""
        return self._requests.folder

    def _read(self) -> None:
        with self._lock:
            while self._from_within:
                self._open.append(self._from_within.popleft())
            found = self._requests.take()
            self._open += found
            self.stops += found.count("stop")

    def left_behind(self) -> bool:
        """Whether a stop was asked for while there is nothing to keep: for who looks from beside the work."""
        if self.at_once:
            self._read()
        return self.at_once and self.stops > 0


def stop_on_signals(asked: Asked, say: Callable[[str], None]) -> None:
    """A stop signal asks for a stop after the present step or item; the same one a second time leaves at once.

    Before there is anything to keep, the first one leaves. Signals: Ctrl+C, Ctrl+Break, that of the system's end, and
    that of a closed terminal, unless it is ignored already (nohup).
    """

    told = False

    def interrupted(number: int, frame: Any) -> None:
        nonlocal told
        signal.signal(number, _leave)
        asked.ask("stop")
        if asked.at_once:
            # From here on it is leaving: nobody needs to tell it once more.
            asked.something_to_keep()
            asked.leaving = True
            threading.Thread(target=_see_out, args=[asked], daemon=True).start()
            raise LeftAtOnce
        if not told:
            # Ctrl+C comes from the terminal, and from a launcher as a signal of another kind.
            told = True
            say("Stopping after the present step. Press Ctrl+C again to leave at once.")

    hear_stops(interrupted)


def watch(asked: Asked, launcher_lives: Callable[[], bool] | None = None) -> None:
    """A thread that looks for a stop where the work does not: in the file of requests while there is nothing to keep,
    and whether the launcher still lives, where there is one.
    """

    def look() -> None:
        told = False
        while True:
            time.sleep(LOOK_EVERY_S)
            if launcher_lives and not told and not launcher_lives():
                told = True
                _signal_main(signal.SIGTERM)
            if asked.left_behind():
                _signal_main(signal.SIGINT)
                return

    threading.Thread(target=look, daemon=True, name="watch").start()


def _see_out(asked: Asked) -> None:
    """Libraries swallow what is raised while they are read in: it is raised again until the work has ended."""
    main = ctypes.c_ulong(threading.main_thread().ident or 0)
    for _ in range(round(LEAVE_WITHIN_S / RAISE_EVERY_S)):
        time.sleep(RAISE_EVERY_S)
        if asked.left:
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(LeftAtOnce))
    os._exit(0)


def _leave(number: int, frame: Any) -> None:
    _leave_within(130)
    raise KeyboardInterrupt


def _leave_within(code: int) -> None:
    """Ends the process should the way out take too long: a thread that hangs would keep it for ever."""
    timer = threading.Timer(LEAVE_WITHIN_S, os._exit, [code])
    timer.daemon = True
    timer.start()


def _signal_main(number: int) -> None:
    """As if the signal had come from outside: it also ends what the main thread waits for."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
