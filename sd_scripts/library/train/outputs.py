"""What a run writes while it goes on: models, states and samples, by the main process while the others wait."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.library.errors import UserError
from sd_scripts.library.io.drafts import Draft, Saved
from sd_scripts.library.pausing import Pause, Trouble, trouble_of
from sd_scripts.library.team import Team
from sd_scripts.library.train.archive import Archive
from sd_scripts.library.train.artist import Artist
from sd_scripts.library.train.aside import Aside, keep
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
    standing: Callable[[], AbstractContextManager[None]]
    """Meanwhile the weights are as they are saved."""
    draft: Callable[[], Draft]
    saved: Callable[[Saved], None]
    needed_bytes: int | None


@dataclass
class _Begun:
    """A step that is written while training goes on; only the main process has its draft."""

    step: _Step
    draft: Draft | None = None
    saved: Saved | None = None


class _Aside(NamedTuple):
    """All that is written of an occasion while training goes on."""

    occasion: Occasion
    steps: list[_Begun]


@dataclass
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
    aside: Aside = field(default_factory=Aside)
    begun: _Aside | None = None
    """What is written aside at the moment; in all processes. One save waits for the one before it."""

    def save(self, occasion: Occasion, facts: Facts, model: bool, state: bool, aside: bool = False) -> None:
        """Writes a model, a state or both, and removes older ones; waits where they cannot be written.

        `aside`: where memory allows, training goes on meanwhile, and `settle` sees to the rest.
        Errors: NotWritten, where that was left; TrainingFailed.
        """
        self._rest()
        self.settle()
        steps = self._steps(occasion, facts, model, state)
        if aside and self._begin(occasion, steps):
            return
        for step in steps:
            self.pause.until_written(partial(self._looked_at, step), partial(self._tried, step))
        self._end(occasion)

    def settle(self, wait: bool = True) -> None:
        """Takes what was written aside, or waits for it; what could not be written is tried again.

        Errors: NotWritten, where that was left; TrainingFailed.
        """
        begun = self.begun
        if begun is None or not (wait or self._team.agree(self.aside.done)):
            return
        self.begun = None
        outcomes = self.aside.outcomes()
        for number, one in enumerate(begun.steps):
            first = outcomes[number : number + 1]
            look, attempt = partial(self._looked_again, one, first), partial(self._tried_again, one, first)
            self.pause.until_written(look, attempt)
            if one.saved:
                one.step.saved(one.saved)
        self._end(begun.occasion)

    def close(self) -> None:
        """Where training ends by an error: waits for what is written aside, and tells of it. Nothing is tried again."""
        if self.begun is None:
            return
        begun, self.begun = self.begun, None
        try:
            troubles = [trouble for trouble in self.aside.outcomes() if trouble]
        except UserError as error:
            self.archive.report.notice(str(error), "warning")
            troubles = []
        for one in begun.steps:
            if one.saved:
                one.step.saved(one.saved)
        for trouble in troubles:
            self.archive.report.notice(f"{trouble.sentence}. It was not tried again.", "warning")

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
        archive, contents = self.archive, self.learner.contents
        steps = {
            "state": _Step(
                "state",
                lambda: archive.names.state(occasion),
                nullcontext,
                lambda: archive.state(facts, self.tracker.recent),
                partial(self._state_saved, facts),
                state_bytes(contents) if state else None,
            ),
            "model": _Step(
                "model",
                lambda: archive.names.path(occasion),
                self.learner.averaged,
                lambda: archive.model(occasion, facts.place()),
                partial(self._model_saved, facts),
                self.needed.get("model"),
            ),
        }
        return [steps[kind] for kind, asked in (("state", state), ("model", model)) if asked]

    def _looked_at(self, step: _Step) -> Trouble | None:
        main = self.accelerator.is_main_process
        return self.archive.place.looked_at(step.path(), step.needed_bytes) if main else None

    def _tried(self, step: _Step) -> Trouble | None:
        """One attempt. All processes make it together."""

        def write() -> None:
            if step.kind == "state":
                self.learner.contents.write_parts(step.path())
            main = self.accelerator.is_main_process
            with self.learner.contents.whole(main):
                if main:
                    with step.standing():
                        saved = step.draft().write(step.path())
                    step.saved(saved)

        return self.archive.place.tried(step.path(), step.needed_bytes, write)

    def _begin(self, occasion: Occasion, steps: list[_Step]) -> bool:
        """Begins to write aside; whether it could. All processes call this together."""
        if not self.archive.method.large or self.learner.contents.engine is not None:
            return False
        begun = [_Begun(step) for step in steps]
        main = self.accelerator.is_main_process
        if not self._team.agree(main and all(self._kept(one) for one in begun)):
            return False
        self.begun = _Aside(occasion, begun)
        if main:
            self.aside.begin([partial(self._write_aside, one) for one in begun])
        return True

    def _kept(self, one: _Begun) -> bool:
        with one.step.standing():
            one.draft = one.step.draft()
            return keep(one.draft)

    def _write_aside(self, one: _Begun) -> Trouble | None:
        """One attempt to write what is kept."""

        def write() -> None:
            if one.draft:
                one.saved = one.draft.write(one.step.path())

        # Looked at first: a folder that is gone is not made anew.
        return self._looked_at(one.step) or self.archive.place.tried(one.step.path(), one.step.needed_bytes, write)

    def _looked_again(self, one: _Begun, first: list[Trouble | None]) -> Trouble | None:
        return None if first or one.saved else self._looked_at(one.step)

    def _tried_again(self, one: _Begun, first: list[Trouble | None]) -> Trouble | None:
        """What the attempt aside came to, the first time."""
        if first:
            return first.pop()
        return None if one.saved else self._write_aside(one)

    def _end(self, occasion: Occasion) -> None:
        """Once all of an occasion is whole."""
        if self.accelerator.is_main_process:
            self._told_once("old", lambda: self.archive.remove_older(occasion))
        self.accelerator.wait_for_everyone()

    def _state_saved(self, facts: Facts, saved: Saved) -> None:
        self.archive.state_saved(saved, facts)
        self.kept.save = saved.path
        self.kept.states.append(KeptState(saved.path))

    def _model_saved(self, facts: Facts, saved: Saved) -> None:
        self.archive.model_saved(saved, facts.place())
        self.kept.save = saved.path
        # The next one is as large.
        self.needed["model"] = size_of(saved.path)

    @property
    def _team(self) -> Team:
        return Team(self.accelerator.process_index, self.accelerator.num_processes)

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
