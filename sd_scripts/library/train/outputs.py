"""What a run writes while it goes on: models, states and samples, by the main process while the others wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_scripts.library.train.archive import Archive
from sd_scripts.library.train.compiling import uncompiled
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.learner import Learner
from sd_scripts.library.train.sampling import Artist, Samples, evaluating
from sd_scripts.library.train.saving import Occasion
from sd_scripts.library.train.state import Facts
from sd_scripts.library.train.tracking import Tracker
from sd_scripts.library.train.validation import Validation


@dataclass
class Kept:
    """The newest that this run has written, or began with: of any kind, and of states."""

    save: Path | None = None
    state: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """Writes what the learner has come to. All processes call each method together."""

    learner: Learner
    archive: Archive
    samples: Samples
    artist: Artist
    tracker: Tracker
    accelerator: Any
    kept: Kept

    def save(self, occasion: Occasion, facts: Facts, model: bool, state: bool) -> None:
        """Writes a model, a state or both, and removes older ones. Errors: BadFile, TrainingFailed."""
        self._rest()
        if state:
            self.learner.contents.write_parts(self.archive.names.state(occasion))
        main = self.accelerator.is_main_process
        with self.learner.contents.whole(main):
            if main:
                self._write(occasion, facts, model, state)
        self.accelerator.wait_for_everyone()

    def draw(self, mark: str, place: Place) -> None:
        """Draws the sample prompts; `mark` stands in their names. Errors: BadFile, TrainingFailed."""
        self._rest()
        if self.accelerator.is_main_process:
            with uncompiled(), self._looking():
                drawn = self.samples.draw(self.artist, mark, place)
            self.tracker.draw(drawn, place.step)
            self.artist.encoder.rest()
        self.accelerator.wait_for_everyone()

    def validate(self, validation: Validation) -> float:
        """The loss of the pictures that are held out. Errors: NothingUsable, TrainingFailed."""
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

    def _write(self, occasion: Occasion, facts: Facts, model: bool, state: bool) -> None:
        if state:
            self.kept.state = self.kept.save = self.archive.save_state(occasion, facts)
        if model:
            with self.learner.averaged():
                self.kept.save = self.archive.save_model(occasion, facts.place())
        self.archive.remove_older(occasion)
