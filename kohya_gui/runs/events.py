"""Reads what a run tells of itself, as it grows, into what the page shows."""

import statistics
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sd_scripts.library import events

FIGURES = ("loss", "lr", "grad_norm")
# Over so many of the last steps loss and times are averaged.
RECENT_STEPS = 33
MAX_POINTS = 2000
MAX_FAILURES = 500
TIMES = ("step_s", *events.STEP_PARTS)


@dataclass
class PhaseView:
    """A phase of a run, and how far it is."""

    name: str
    began: float
    total: int | None = None
    done: int = 0
    rate_per_s: float | None = None
    eta_s: float | None = None
    ended: float | None = None
    gap_s: float = 0.0
    """The longest time in it without a word."""


@dataclass
class Point:
    """The figures of one optimizer step, or the loss of a validation after it; `place` is the event's number."""

    place: int
    step: int
    epoch: int
    figures: tuple[float | None, ...]
    """In the order of the view's names; of names that came later it has none."""


@dataclass
class RunView:
    """Everything that a run has told so far."""

    path: Path
    phases: list[PhaseView] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    validations: list[Point] = field(default_factory=list)
    last_figures: dict[str, float] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    saved: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    branch: events.Branched | None = None
    skipped: int = 0
    summary: events.Summary | None = None
    failed: events.Failed | None = None
    stopped: events.Stopped | None = None
    paused: events.Paused | None = None
    next_event: int = 0
    last_time: float = 0.0
    steps_s: float = 0.0
    """How long all steps took together."""

    def __post_init__(self) -> None:
        self._reader = events.LineReader(self.path)
        self._lock = threading.Lock()
        self._names = [*FIGURES]
        self._times: deque[dict[str, float]] = deque(maxlen=RECENT_STEPS)
        self._readers: dict[type[events.Event], Callable[[Any, float], None]] = {
            events.Phase: self._phase,
            events.Progress: self._progress,
            events.Metric: self._metric,
            events.Validation: self._validation,
            events.Sample: lambda event, now: self.samples.append(asdict(event)),
            events.Saved: lambda event, now: self.saved.append(asdict(event)),
            events.ItemFailed: self._item_failed,
            events.Notice: lambda event, now: self.notices.append(asdict(event)),
            events.Paused: self._paused,
            events.GoesOn: self._paused,
            events.Branched: self._branched,
            events.Summary: self._summary,
            events.Failed: self._failed,
            events.Stopped: self._stopped,
        }

    def update(self) -> "RunView":
        """Reads what came since the last time."""
        with self._lock:
            for line in self._reader.new_lines():
                found = events.from_line(line)
                if found:
                    now_s, event = found
                    if self.phase:
                        self.phase.gap_s = max(self.phase.gap_s, now_s - self.last_time)
                    self.last_time = now_s
                    self._readers.get(type(event), lambda event, now: None)(event, self.last_time)
                self.next_event += 1
        return self

    @property
    def phase(self) -> PhaseView | None:
        """The phase that it is in."""
        return self.phases[-1] if self.phases else None

    def metrics(self, since_event: int) -> dict[str, list[Any]]:
        """The figures from an event on, thinned to what a chart can show."""
        points = self.points[bisect_left(self.points, since_event, key=lambda point: point.place) :]
        every = -(-len(points) // MAX_POINTS) or 1
        # Counted from the end, so that the newest one is always there.
        points = points[::-1][::every][::-1]
        columns = {
            name: [point.figures[i] if i < len(point.figures) else None for point in points]
            for i, name in enumerate(self._names)
        }
        looks = [point for point in self.validations if point.place >= since_event]
        return {
            "step": [point.step for point in points],
            "epoch": [point.epoch for point in points],
            **columns,
            "validation_step": [look.step for look in looks],
            "validation": [look.figures[0] for look in looks],
        }

    @property
    def loss(self) -> float | None:
        """The mean loss of the last steps."""
        recent = [point.figures[0] for point in self.points[-RECENT_STEPS:]]
        known = [loss for loss in recent if loss is not None]
        return sum(known) / len(known) if known else None

    def times_s(self) -> dict[str, float]:
        """How long a step and its parts take, over the last steps; the first is left out where there are others."""
        steps = self._recent_times()
        return {name: sum(step.get(name, 0.0) for step in steps) / len(steps) for name in (steps[-1] if steps else ())}

    def step_s(self) -> float | None:
        """How long a further step is likely to take; None where steps tell no times.

        Of the work the median, as some steps compile the model; of the wait for pictures the mean, as it may come in
        every few steps.
        """
        waits = [(step["step_s"], step.get("data_s", 0.0)) for step in self._recent_times() if "step_s" in step]
        if not waits:
            return None
        return statistics.median(all_s - data_s for all_s, data_s in waits) + statistics.fmean(s for _, s in waits)

    def _recent_times(self) -> list[dict[str, float]]:
        steps = list(self._times)
        return steps[1:] if len(steps) > 1 and len(steps) == len(self.points) else steps

    def _phase(self, event: events.Phase, now: float) -> None:
        if self.phase:
            self.phase.ended = now
        self.phases.append(PhaseView(event.name, now, event.total))

    def _progress(self, event: events.Progress, now: float) -> None:
        if self.phase is None or self.phase.name != event.phase:
            self._phase(events.Phase(name=event.phase, total=event.total), now)
        phase = self.phases[-1]
        phase.done, phase.total = event.done, event.total or phase.total
        phase.rate_per_s, phase.eta_s = event.rate_per_s, event.eta_s

    def _metric(self, event: events.Metric, now: float) -> None:
        self.last_figures = event.values
        self._names += [name for name in event.values if name.startswith("lr/") and name not in self._names]
        self.points.append(Point(self.next_event, event.step, event.epoch, tuple(map(event.values.get, self._names))))
        self.steps_s += event.values.get("step_s", 0.0)
        self._times.append({name: event.values[name] for name in TIMES if name in event.values})

    def _validation(self, event: events.Validation, now: float) -> None:
        self.validations.append(Point(self.next_event, event.step, event.epoch, (event.loss,)))

    def _item_failed(self, event: events.ItemFailed, now: float) -> None:
        self.skipped += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(asdict(event))

    def _paused(self, event: events.Paused | events.GoesOn, now: float) -> None:
        self.paused = event if isinstance(event, events.Paused) else None

    def _branched(self, event: events.Branched, now: float) -> None:
        self.branch = event

    def _summary(self, event: events.Summary, now: float) -> None:
        self.summary = event

    def _failed(self, event: events.Failed, now: float) -> None:
        self.failed = event

    def _stopped(self, event: events.Stopped, now: float) -> None:
        self.stopped = event
