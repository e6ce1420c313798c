"""Tells the terminal, and the events file when there is one, how the work goes; hears what the script is asked."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

from sd_scripts.library import events
from sd_scripts.library.events import Event, Request, Requests

T = TypeVar("T")

LISTED_FAILURES = 20
EVENT_EVERY_S = 0.5
LINE_EVERY_S = 10.0
# What ends a phase: how far it came is told before, however short ago the last telling was.
ENDINGS = (events.Phase, events.Summary, events.Stopped, events.Failed)


class Report:
    """One per script. Every method may be called at any time; none of them needs torch."""

    def __init__(
        self, events_path: Path | None = None, requests: Requests | None = None, out: TextIO | None = None
    ) -> None:
        # backslashreplace: file names need not be UTF-8.
        self._events = events_path.open("a", encoding="utf-8", errors="backslashreplace") if events_path else None
        self._requests = requests or Requests(None)
        self._out = out or sys.stderr
        self._bar = _Bar(self._out)
        self._asked: list[Request] = []
        self._untold: Event | None = None
        self.failures: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.phase_name = ""

    @classmethod
    def from_environment(cls) -> "Report":
        """Writes events to the file that SD_SCRIPTS_EVENTS names, if it is set."""
        name = os.environ.get(events.EVENTS_VARIABLE)
        return cls(Path(name) if name else None, Requests.from_environment())

    def emit(self, event: Event) -> None:
        """Appends an event to the events file; the terminal hears nothing of it."""
        if isinstance(event, ENDINGS):
            self._tell_rest()
        if self._events:
            self._events.write(events.to_line(event) + "\n")
            self._events.flush()

    def say(self, text: str) -> None:
        """A line for the terminal."""
        self._bar.clear()
        print(text, file=self._out, flush=True)

    def notice(self, text: str, level: Any = "info") -> None:
        """Something the user should know: in the terminal and in the page."""
        self.say(text if level == "info" else f"Warning: {text}")
        self.emit(events.Notice(level=level, text=text))

    def phase(self, name: str, text: str = "", total: int | None = None) -> None:
        """Begins a phase. `name` is its identifier, `text` what the terminal shows."""
        self.phase_name = name
        self.say(text or name.replace("_", " ").capitalize())
        self._bar.start(total)
        self.emit(events.Phase(name=name, total=total))

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """How many items of the phase are done. Called as often as wanted: it tells only as often as is useful."""
        due = self._bar.advance(done, total, note)
        rate, eta = self._bar.rate_per_s, self._bar.eta_s
        self._untold = events.Progress(phase=self.phase_name, done=done, total=total, rate_per_s=rate, eta_s=eta)
        if due:
            self._tell_rest()

    def _tell_rest(self) -> None:
        """Tells how far the phase came, if that was not told yet: a stopped training ends between two tellings."""
        untold, self._untold = self._untold, None
        if untold:
            self.emit(untold)

    def each(self, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Gives the items one by one, with progress; ends early when a stop is asked for."""
        for done, item in enumerate(items, 1):
            yield item
            self.progress(done, total)
            if self.stop_asked():
                return

    def failed_item(self, item: str | Path, reason: str) -> None:
        """One item is left out: counted, listed at the end."""
        self.failures.append((str(item), reason))
        self.counts["skipped"] += 1
        self.emit(events.ItemFailed(item=str(item), reason=reason))

    def saved(self, path: Path, kind: str, step: int | None = None, epoch: int | None = None) -> None:
        """A file or folder was written whole."""
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
        self.emit(events.Saved(path=str(path.absolute()), kind=kind, size_bytes=size, step=step, epoch=epoch))

    def summary(self, text: str, tables: dict[str, list[dict[str, Any]]] | None = None, **counts: int) -> None:
        """The end of the work: `text` for the terminal, then the items that were left out, each with its reason."""
        self.counts.update(counts)
        self.say(text)
        self.list_failures()
        self.emit(events.Summary(counts=dict(self.counts), tables=tables or {}))

    def list_failures(self) -> None:
        """Lists the items that were left out, each with its reason, in the terminal."""
        for item, reason in self.failures[:LISTED_FAILURES]:
            self.say(f"  left out: {item}: {reason}")
        if len(self.failures) > LISTED_FAILURES:
            self.say(f"  ... and {len(self.failures) - LISTED_FAILURES} more")

    def requests(self) -> list[Request]:
        """What was asked since the last call."""
        asked, self._asked = self._asked + self._requests.take(), []
        return asked

    def stop_asked(self) -> bool:
        """Whether a stop was asked for, now or before; other requests stay for `requests`."""
        self._asked += self._requests.take()
        return "stop" in self._asked

    def ask(self, request: Request) -> None:
        """Asks from within the process, as Ctrl+C does."""
        self._asked.append(request)

    def close(self) -> None:
        """Ends the progress line and the events file."""
        self._bar.clear()
        if self._events:
            self._events.close()


class _Bar:
    """The progress line: rewritten in place on a terminal, a new line now and then in a log."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._shown = False
        self.start(None)

    def start(self, total: int | None) -> None:
        self._begun_s = self._told_s = self._printed_s = time.monotonic()
        self._first: int | None = None
        self._total = total
        self.rate_per_s: float | None = None
        self.eta_s: float | None = None

    def advance(self, done: int, total: int | None, note: str) -> bool:
        """True when it is time to tell the page."""
        now_s = time.monotonic()
        self._total = total if total is not None else self._total
        if self._first is None:
            self._first, self._begun_s = done - 1, min(self._begun_s, now_s)
        elapsed_s = now_s - self._begun_s
        last = done == self._total
        if elapsed_s > 0.2:
            self.rate_per_s = (done - self._first) / elapsed_s
            self.eta_s = (self._total - done) / self.rate_per_s if self._total and self.rate_per_s else None
        if last or now_s - self._printed_s > (0.1 if self._live else LINE_EVERY_S):
            self._printed_s = now_s
            self._print(done, note)
        if last or self._told_s == self._begun_s or now_s - self._told_s > EVENT_EVERY_S:
            self._told_s = now_s
            return True
        return False

    def clear(self) -> None:
        if self._shown:
            print("\r\033[K", end="", file=self._out, flush=True)
            self._shown = False

    def _print(self, done: int, note: str) -> None:
        parts = [f"{done:,} of {self._total:,}" if self._total else f"{done:,}"]
        if self.rate_per_s:
            parts.append(f"{self.rate_per_s:.2f}/s")
        if self.eta_s:
            parts.append(f"{duration(self.eta_s)} left")
        line = "  " + ", ".join([*parts, *([note] if note else [])])
        if self._live:
            print(f"\r\033[K{line}", end="", file=self._out, flush=True)
            self._shown = True
        else:
            print(line, file=self._out, flush=True)


def duration(seconds: float) -> str:
    """A duration in the two largest units: '2 h 5 min', '3 min', '12 s'."""
    minutes, left_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 3 else f"{minutes * 60 + left_s} s"
