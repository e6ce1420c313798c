"""Tells the terminal, and the events file when there is one, how the work goes; hears what the script is asked."""

import os
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

from sd_scripts.library import events
from sd_scripts.library.asked import Asked
from sd_scripts.library.console import Bar, Console, Level, console_of
from sd_scripts.library.errors import StoppedAsAsked
from sd_scripts.library.events import Event, Request, Requests
from sd_scripts.library.io.hashes import sha256_of
from sd_scripts.library.steady import SteadyFile
from sd_scripts.library.team import ALONE, Team
from sd_scripts.library.telling import in_one_line, without_secrets
from sd_scripts.options.output import ConsoleOptions

T = TypeVar("T")

LISTED_FAILURES = 20
# Of a million items that fail, these are named, to the page too; the others are counted.
KEPT_FAILURES = 10_000
# What ends a phase: how far it came is told before, however short ago the last telling was.
ENDINGS = (events.Phase, events.Summary, events.Stopped, events.Failed)


class Report:
    """One per script. Every method may be called at any time; none of them needs torch."""

    def __init__(self, events_path: Path | None = None, asked: Asked | None = None, out: TextIO | None = None) -> None:
        self._events = SteadyFile(events_path) if events_path else None
        self.asked = asked or Asked()
        self._out = out or sys.stderr
        self._console = Console(self._out)
        self._bar = Bar()
        self._lost = False
        self._untold: tuple[int, int | None] | None = None
        self._own: tuple[int, int | None] | None = None
        self.failures: list[tuple[str, str]] = []
        self.failed = 0
        self._listed = 0
        self.counts: Counter[str] = Counter()
        self.phase_name = ""
        self._phases = 0
        self.team: Team = ALONE
        """Who shares the work, where it is split (together.py)."""

    def unheard(self) -> "Report":
        """A report of the same work that nobody hears: other processes than the first would say everything again."""
        return Report(asked=self.asked, out=open(os.devnull, "w"))  # noqa: SIM115

    @classmethod
    def from_environment(cls) -> "Report":
        """Writes events to the file that SD_SCRIPTS_EVENTS names, if it is set."""
        name = os.environ.get(events.EVENTS_VARIABLE)
        return cls(Path(name) if name else None, Asked(Requests.from_environment()))

    def emit(self, event: Event) -> None:
        """Appends an event to the events file; the terminal hears nothing of it."""
        if isinstance(event, ENDINGS):
            self._tell_rest()
        if self._events:
            self._events.write(without_secrets(events.to_line(event)))
            self._tell_lost(self._events.trouble)

    def _tell_lost(self, trouble: OSError | None) -> None:
        """Once each time that the page cannot be told anything: the work goes on, and what waits is told later."""
        if trouble and not self._lost:
            self.say(
                f"Warning: the file of events cannot be written ({trouble.strerror}). It is tried again.", "WARNING"
            )
        self._lost = trouble is not None

    def use_console(self, options: ConsoleOptions) -> None:
        """From now on lines go where the options say. Errors: BadOption."""
        self._console = console_of(options, self._out)

    def say(self, text: str, level: Level = "INFO") -> None:
        """A line for the terminal."""
        self._console.line(text, level)

    def notice(self, text: str, level: Any = "info") -> None:
        """Something the user should know: in the terminal and in the page."""
        self.say(text if level == "info" else f"Warning: {text}", "INFO" if level == "info" else "WARNING")
        self.emit(events.Notice(level=level, text=text))

    def phase(self, name: str, text: str = "", total: int | None = None) -> None:
        """Begins a phase. `name` is its identifier, `text` what the terminal shows."""
        self.phase_name = name
        self._phases += 1
        said = text or name.replace("_", " ").capitalize()
        self.say(said if total is None else self.team.told(said))
        self._bar.start(total)
        self.emit(events.Phase(name=name, total=total))

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """How many items of the phase are done. Called as often as wanted: it tells only as often as is useful."""
        self._own = done, total
        done, total = self.team.come_to(self._phases, done, total)
        self._untold = done, total
        if self._bar.advance(done, total, note, self._console):
            self._tell_rest()

    def _tell_rest(self) -> None:
        """Tells how far the phase came, if that was not told yet: a stopped training ends between two tellings."""
        untold, self._untold = self._untold, None
        if untold:
            done, total = untold
            rate, eta = self._bar.rate_per_s, self._bar.eta_s
            self.emit(events.Progress(phase=self.phase_name, done=done, total=total, rate_per_s=rate, eta_s=eta))

    def each(self, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Gives the items one by one, with progress; ends early when a stop is asked for."""
        for done, item in enumerate(items, 1):
            yield item
            self.progress(done, total)
            if self.stop_asked():
                return

    def whole(self, items: Collection[T]) -> Iterator[T]:
        """Gives the items one by one, with progress, for work that is worth nothing unfinished.

        Errors: StoppedAsAsked, when a stop is asked for before the last one is done.
        """
        for done, item in enumerate(items, 1):
            yield item
            self.progress(done, len(items))
            if done < len(items):
                self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Before what is written is begun. Errors: StoppedAsAsked."""
        if self.stop_asked():
            raise StoppedAsAsked("Stopped as asked: nothing was written.")

    def failed_item(self, item: str | Path, reason: str) -> None:
        """One item is left out: counted, and listed at the end with its reason."""
        self.failed += 1
        self.counts["skipped"] += 1
        if self.failed <= KEPT_FAILURES:
            self.failures.append((str(item), reason))
            self.emit(events.ItemFailed(item=str(item), reason=reason))

    def saved(
        self, path: Path, kind: str, step: int | None = None, epoch: int | None = None, sha256: str | None = None
    ) -> None:
        """A file or folder was written whole; of a file the SHA-256 is told, by which it is known again.

        `sha256`: where its writer knows it, the file is not read for it.
        """
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
        place, digest = str(path.absolute()), sha256 or (sha256_of(path) if path.is_file() else None)
        self.emit(events.Saved(path=place, kind=kind, size_bytes=size, step=step, epoch=epoch, sha256=digest))

    def summary(self, text: str, tables: dict[str, list[dict[str, Any]]] | None = None, **counts: int) -> None:
        """The end of the work: `text` for the terminal, then the items that were left out, each with its reason."""
        self.counts.update(counts)
        self.say(text)
        self.list_failures()
        self.emit(events.Summary(counts=dict(self.counts), tables=tables or {}))

    def gather_failures(self) -> None:
        """Takes in what the others of the team have left out; all of them call it together."""
        told = self.team.gather((self.failures, self.failed))
        if self.team.size > 1 and self._own:
            # This one's share may have been done before the others': now they are as far.
            self.progress(*self._own)
        for failures, failed in told[: self.team.rank] + told[self.team.rank + 1 :]:
            for item, reason in failures:
                self.failed_item(item, reason)
            uncounted = failed - len(failures)
            self.failed += uncounted
            self.counts["skipped"] += uncounted

    def list_failures(self) -> None:
        """Lists the items that were left out, each with its reason, in the terminal: once, however often asked."""
        if self.failed == self._listed:
            return
        self._listed = self.failed
        for item, reason in self.failures[:LISTED_FAILURES]:
            self.say(f"  left out: {in_one_line(item)}: {in_one_line(reason)}", "ERROR")
        if self.failed > LISTED_FAILURES:
            self.say(f"  ... and {self.failed - LISTED_FAILURES:,} more", "ERROR")

    def requests(self) -> list[Request]:
        """What was asked since the last call."""
        return self.asked.take_all()

    @property
    def prompts_asked(self) -> str | None:
        """The file of prompts that came with a request for samples."""
        return self.asked.prompts

    def stop_asked(self) -> bool:
        """Whether a stop was asked for, now or before; other requests stay for `requests`."""
        return self.team.stopped(self.asked.stop_asked())

    def ask(self, request: Request) -> None:
        """Asks from within the process, as Ctrl+C does."""
        self.asked.ask(request)

    def close(self) -> None:
        """Ends the progress line and the events file."""
        self._console.close()
        if self._events:
            self._events.close()


def counted(number: int, noun: str) -> str:
    """A number and its noun: '1 step', '1,600 steps'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
