"""Work on an album that takes a while: in a thread, one at a time, with its progress."""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from kohya_gui.words import refusal
from sd_scripts.library.errors import UserError

QUICK_S = 0.6
"""What takes no longer is answered at once."""


class Job:
    """The work that goes on, or went on last."""

    def __init__(self) -> None:
        self.what = ""
        self.done = 0
        self.total = 0
        self.error = ""
        self.result: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether work goes on."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopped(self) -> bool:
        """Whether the work was asked to end early."""
        return self._stop.is_set()

    def start(self, what: str, work: Callable[[], dict[str, Any]], wait_s: float = QUICK_S) -> None:
        """Begins with work; returns when it is done, or after a while. Errors: BadOption, while other work goes on."""
        with self._lock:
            if self.busy:
                raise refusal("", "dataset.busy")
            self.what, self.done, self.total, self.error, self.result = what, 0, 0, "", {}
            # In the language of whoever asked.
            context = contextvars.copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._run, work), daemon=True)
            self._thread.start()
        self._thread.join(wait_s)

    def stop(self) -> None:
        """Asks the work to end, and waits for that."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self, work: Callable[[], dict[str, Any]]) -> None:
        try:
            self.result = work()
        except (UserError, OSError) as error:
            self.error = str(error)
