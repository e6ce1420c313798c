"""Where lines for people go: the terminal, and a file when one is asked for."""

import contextlib
import io
import logging
import sys
import time
from pathlib import Path
from typing import Literal, TextIO

from sd_scripts.library.errors import BadOption
from sd_scripts.library.telling import for_terminal
from sd_scripts.options.output import ConsoleOptions

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

EVENT_EVERY_S = 0.5
DRAW_EVERY_S = 0.1
LINE_EVERY_S = 10.0

SHORTEST_SPAN_S = 0.2
"""Over less time no pace is told."""
MOST_MARKS = 256
"""Of so many moments it is kept how much was done; of more, every second one is forgotten."""


class Console:
    """Shows lines that are important enough. `simple`: lines alone, without time, level or a bar that is redrawn."""

    def __init__(self, out: TextIO, level: Level = "INFO", simple: bool = False, log: TextIO | None = None) -> None:
        self._out = out
        self._least = logging.getLevelNamesMapping()[level]
        self._simple = simple
        self._log = log
        self.live = out.isatty() and not simple and self.shows("INFO")
        self._drawn = False
        self._forward: logging.Handler | None = None

    def shows(self, level: str) -> bool:
        """Whether lines of a level are shown."""
        return logging.getLevelNamesMapping()[level] >= self._least

    def line(self, text: str, level: str = "INFO") -> None:
        """A line of its own, here and in the file."""
        if self.shows(level):
            text = for_terminal(text)
            self.clear()
            _print(text + "\n", self._out)
            self._write(text, level)

    def progress(self, text: str, draw: bool, line: bool) -> None:
        """How far the work is: drawn over what was drawn last where that is possible, and now and then a line."""
        text = for_terminal(text)
        if self.live and draw:
            _print(f"\r\033[K{text}", self._out)
            self._drawn = True
        if line and self.shows("INFO"):
            self._write(text, "INFO")
            if not self.live:
                _print(text + "\n", self._out)

    def clear(self) -> None:
        """Takes away what is drawn."""
        if self._drawn:
            _print("\r\033[K", self._out)
            self._drawn = False

    def show_libraries(self, level: Level) -> None:
        """From now on what the packages underneath log goes the same way as our own lines."""
        self._forward = _Forward(self)
        logging.root.addHandler(self._forward)
        logging.root.setLevel(level)
        # Pillow's details are a line for each part of each picture.
        logging.getLogger("PIL").setLevel(max(logging.root.level, logging.INFO))

    def close(self) -> None:
        """Leaves the terminal clean, and closes the file."""
        self.clear()
        if self._forward:
            logging.root.removeHandler(self._forward)
        if self._log:
            with contextlib.suppress(OSError):
                self._log.close()

    def _write(self, text: str, level: str) -> None:
        if self._log:
            mark = "" if self._simple else f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level:<8} "
            _print(f"{mark}{text}\n", self._log)


def console_of(options: ConsoleOptions, out: TextIO) -> Console:
    """The console that the options ask for; `out` is where it goes when they do not say. Errors: BadOption."""
    log = _open(options.console_log_file) if options.console_log_file else None
    simple = options.console_log_simple
    console = Console(_plain_output() if simple else out, options.console_log_level or "INFO", simple, log)
    if options.console_log_level or log:
        console.show_libraries(options.console_log_level or "WARNING")
    return console


def _print(text: str, out: TextIO) -> None:
    """A terminal that was closed, or a full disk under a log, must not end the work: what cannot be shown is left."""
    with contextlib.suppress(OSError):
        out.write(text)
        out.flush()


def _plain_output() -> TextIO:
    """Standard output, which by itself fails at letters that the system's encoding lacks; standard error does not."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout


def _open(path: str) -> TextIO:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        sentence = f"--console_log_file {path} cannot be written to: {error.strerror}. Choose another file."
        raise BadOption("console_log_file", sentence) from error


class _Forward(logging.Handler):
    """Shows what packages log; a line that cannot be made harms nothing."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in logging.getLevelNamesMapping() else "INFO"
        try:
            self._console.line(f"{record.name}: {record.getMessage()}", level)
        except Exception:  # whatever the package's own arguments fail with
            self.handleError(record)


class Bar:
    """The progress of a phase: when it is to be shown, and how fast it goes.

    The pace is that of the later half of what is done: the first items may take minutes more, as they compile a model.
    """

    def __init__(self) -> None:
        self.start(None)

    def start(self, total: int | None) -> None:
        """A phase begins."""
        self._begun_s = self._told_s = self._lined_s = self._drawn_s = time.monotonic()
        self._marks: list[tuple[int, float]] = []
        self._total = total
        self.rate_per_s: float | None = None
        self.eta_s: float | None = None

    def advance(self, done: int, total: int | None, note: str, console: Console) -> bool:
        """Shows it when it is time; True when it is time to tell the page."""
        now_s = time.monotonic()
        self._total = total if total is not None else self._total
        self._measure(done, now_s)
        last = done == self._total
        line, draw = last or now_s - self._lined_s > LINE_EVERY_S, last or now_s - self._drawn_s > DRAW_EVERY_S
        self._lined_s = now_s if line else self._lined_s
        self._drawn_s = now_s if draw else self._drawn_s
        if draw or line:
            console.progress(self._text(done, note), draw, line)
        if last or self._told_s == self._begun_s or now_s - self._told_s > EVENT_EVERY_S:
            self._told_s = now_s
            return True
        return False

    def _measure(self, done: int, now_s: float) -> None:
        if not self._marks:
            self._marks = [(done - 1, self._begun_s)]
        elif done != self._total and now_s - self._marks[-1][1] < DRAW_EVERY_S:
            return
        first = self._marks[0][0]
        old = (mark for mark in reversed(self._marks) if 2 * mark[0] <= first + done)
        before, then_s = next((mark for mark in old if now_s - mark[1] > SHORTEST_SPAN_S), (done, now_s))
        if before < done:
            self.rate_per_s = (done - before) / (now_s - then_s)
            # From where the phase began nobody knows how long the others take.
            self.eta_s = (self._total - done) / self.rate_per_s if self._total and before > first else None
        self._marks.append((done, now_s))
        if len(self._marks) > MOST_MARKS:
            self._marks = self._marks[::2]

    def _text(self, done: int, note: str) -> str:
        parts = [f"{done:,} of {self._total:,}" if self._total else f"{done:,}"]
        if self.rate_per_s:
            parts.append(f"{self.rate_per_s:.2f}/s")
        if self.eta_s:
            parts.append(f"{duration(self.eta_s)} left")
        return "  " + ", ".join([*parts, *([note] if note else [])])


def duration(seconds: float) -> str:
    """A duration in the two largest units: '2 h 5 min', '3 min', '12 s'."""
    minutes, left_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 3 else f"{minutes * 60 + left_s} s"
