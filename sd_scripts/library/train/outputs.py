"""What a run writes while it goes on: models, states and samples, by the main process while the others wait."""

from dataclasses import dataclass
from typing import Any

from sd_scripts.library.train.archive import Archive
from sd_scripts.library.train.compiling import uncompiled
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.learner import Learner
from sd_scripts.library.train.sampling import Artist, Samples, evaluating
from sd_scripts.library.train.saving import Occasion
from sd_scripts.library.train.state import Facts
from sd_scripts.library.train.tracking import Tracker


@dataclass(frozen=True)
class Outputs:
    """Writes what the learner has come to. All processes call each method together."""

    learner: Learner
    archive: Archive
    samples: Samples
    artist: Artist
    tracker: Tracker
    accelerator: Any

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
            with uncompiled(), evaluating(list(self.learner.contents.modules.values())):
                drawn = self.samples.draw(self.artist, mark, place)
            self.tracker.draw(drawn, place.step)
            self.artist.encoder.rest()
        self.accelerator.wait_for_everyone()

    def _rest(self) -> None:
        self.tracker.flush()
        self.learner.rest()

    def _write(self, occasion: Occasion, facts: Facts, model: bool, state: bool) -> None:
        if state:
            self.tracker.last_save = self.archive.save_state(occasion, facts)
        if model:
            self.tracker.last_save = self.archive.save_model(occasion, facts.place())
        self.archive.remove_older(occasion)
