"""What a run writes while it goes on: models, states and samples, by the main process while the others wait."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.library.pausing import Pause, Trouble, trouble_of
from sd_scripts.library.train.archive import Archive
from sd_scripts.library.train.artist import Artist
from sd_scripts.library.train.compiling import uncompiled
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.kept import Kept, KeptState
from sd_scripts.library.train.learner import Learner
from sd_scripts.library.train.output_place import size_of, state_bytes
from sd_scripts.library.train.sampling import Samples, evaluating
from sd_scripts.library.train.saving import Occasion
from sd_scripts.library.train.state_facts import Facts
from sd_scripts.library.train.tracking import Tracker
from sd_scripts.library.train.validation import Validation

_WITHOUT = {"samples": "A sample was not written", "old": "An older save was not removed"}


class _Step(NamedTuple):
    """Something to write; its path is that of the moment, as the place may change."""

    kind: str
    path: Callable[[], Path]
    write: Callable[[], None]


@dataclass(frozen=True)
class Outputs:
    """Writes what the learner has come to. All processes call each method together."""

    learner: Learner
    archive: Archive
    samples: Samples
    artist: Artist
    tracker: Tracker
    accelerator: Any
    pause: Pause
    kept: Kept
    needed: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)

    def save(self, occasion: Occasion, facts: Facts, model: bool, state: bool) -> None:
        """Writes a model, a state or both, and removes older ones; waits where they cannot be written.

        Errors: NotWritten, where that was left; TrainingFailed.
        """
        self._rest()
        for step in self._steps(occasion, facts, model, state):
            needed = self._needed(step)
            self.pause.until_written(partial(self._looked_at, step, needed), partial(self._tried, step, needed))
        if self.accelerator.is_main_process:
            self._told_once("old", lambda: self.archive.remove_older(occasion))
        self.accelerator.wait_for_everyone()

    def draw(self, mark: str, place: Place) -> None:
        """Draws the sample prompts; `mark` stands in their names. One that cannot be written is left out, and told.

        Errors: TrainingFailed.
        """
        self._rest()
        if self.accelerator.is_main_process:
            with uncompiled(), self._looking():
                self._told_once("samples", lambda: self._draw(mark, place))
            self.artist.encoder.rest()
        self.accelerator.wait_for_everyone()

    def validate(self, validation: Validation) -> float | None:
        """The loss of the pictures that are held out; None where a stop came in between.

        Errors: NothingUsable, TrainingFailed.
        """
        self._rest()
        with self._looking():
            loss = validation.measure(self.learner.look, self.learner.add_up)
        self.artist.encoder.rest()
        return loss

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Meanwhile the model is as it will be used."""
        with evaluating(list(self.learner.contents.modules.values())), self.learner.averaged():
            yield

    def _rest(self) -> None:
        self.tracker.flush()
        self.learner.rest()

    def _draw(self, mark: str, place: Place) -> None:
        self.tracker.draw(self.samples.draw(self.artist, mark, place), place.step)

    def _steps(self, occasion: Occasion, facts: Facts, model: bool, state: bool) -> list[_Step]:
        """What is to be written, in order. Each is made anew where it could not be written, and only that."""
        steps = (
            _Step("state", lambda: self.archive.names.state(occasion), partial(self._state, occasion, facts)),
            _Step("model", lambda: self.archive.names.path(occasion), partial(self._model, occasion, facts)),
        )
        return [step for step, asked in zip(steps, (state, model), strict=True) if asked]

    def _needed(self, step: _Step) -> int | None:
        return state_bytes(self.learner.contents) if step.kind == "state" else self.needed.get(step.kind)

    def _looked_at(self, step: _Step, needed_bytes: int | None) -> Trouble | None:
        return self.archive.place.looked_at(step.path(), needed_bytes) if self.accelerator.is_main_process else None

    def _tried(self, step: _Step, needed_bytes: int | None) -> Trouble | None:
        """One attempt. All processes make it together."""

        def write() -> None:
            if step.kind == "state":
                self.learner.contents.write_parts(step.path())
            main = self.accelerator.is_main_process
            with self.learner.contents.whole(main):
                if main:
                    step.write()

        return self.archive.place.tried(step.path(), needed_bytes, write)

    def _state(self, occasion: Occasion, facts: Facts) -> None:
        self.kept.save = self.archive.save_state(occasion, facts, self.tracker.recent)
        self.kept.states.append(KeptState(self.kept.save))

    def _model(self, occasion: Occasion, facts: Facts) -> None:
        with self.learner.averaged():
            self.kept.save = self.archive.save_model(occasion, facts.place())
        # The next one is as large.
        self.needed["model"] = size_of(self.kept.save)

    def _told_once(self, what: str, work: Callable[[], None]) -> None:
        """Does what training does not depend on; where the place fails it, that is told once, when it begins."""
        try:
            work()
            self.silent.discard(what)
        except Exception as error:
            trouble = trouble_of(error, self.archive.place.folder)
            if trouble is None:
                raise
            if what not in self.silent:
                self.silent.add(what)
                self.archive.report.notice(
                    f"{_WITHOUT[what]}: {error} Training goes on without, and tries again.", "warning"
                )
