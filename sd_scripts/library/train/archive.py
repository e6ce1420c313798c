"""Writes models and states at their occasions, and removes the older ones once the new one is complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.errors import NotWhole
from sd_scripts.library.io.drafts import Draft, Saved
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.report import Report
from sd_scripts.library.train import state as states
from sd_scripts.library.train.course import Course, Place
from sd_scripts.library.train.metadata import Provenance
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.output_place import OutputPlace
from sd_scripts.library.train.saving import Names, Occasion, file_dtype, file_format, is_whole, kept_from, remove
from sd_scripts.library.train.state_facts import Facts
from sd_scripts.library.train.state_files import damage, newest_first
from sd_scripts.library.train.upload import Uploads
from sd_scripts.options.trainer import TrainerOptions


@dataclass(frozen=True)
class Archive:
    """The output folder of a run."""

    family: Family
    method: Method
    options: TrainerOptions
    course: Course
    provenance: Provenance
    contents: states.Contents
    report: Report
    uploads: Uploads
    place: OutputPlace

    @property
    def names(self) -> Names:
        """The names in the output folder."""
        return Names(self.place.folder, self.options.saving.output_name)

    def model(self, occasion: Occasion, place: Place) -> Draft:
        """The model as it stands, to be written. What is written is looked at whether it reads back: else NotWhole."""
        request = SaveRequest(
            path=self.names.path(occasion),
            format=file_format(self.options.format, self.family.source_format),
            dtype=file_dtype(self.options.saving),
            metadata=self.provenance.at(place),
        )
        draft = self.method.draft(self.family, request)

        def write(path: Path) -> Saved:
            saved = draft.write(path)
            _check_whole(saved.path)
            return saved

        return Draft(draft.parts, write)

    def state(self, facts: Facts, losses: Sequence[float]) -> Draft:
        """The state as it stands, with the last losses, to be written. Errors: BadFile."""
        return states.draft(facts, self.contents, losses)

    def model_saved(self, saved: Saved, place: Place) -> None:
        """Tells of a model that was written, and uploads it where that is asked for."""
        self.report.saved(saved.path, "model", step=place.step, epoch=place.epoch, sha256=saved.sha256)
        if self.options.hub.huggingface_repo_id:
            self.uploads.add(saved.path)

    def state_saved(self, saved: Saved, facts: Facts) -> None:
        """The same for a state."""
        self.report.saved(saved.path, "state", step=facts.step, epoch=facts.epoch)
        if self.options.hub.save_state_to_huggingface:
            self.uploads.add(saved.path)

    def remove_older(self, occasion: Occasion) -> None:
        """Removes the models and states that the options do not keep beside the one of this occasion.

        Where that one was not written, or does not read back, and no later one does, the older ones stay.
        """
        models, saved_states = kept_from(occasion, self.options.saving, self.options.state, self.course)
        older = self.names.older(occasion.kind, models, states=False)
        # The newest whole state is never removed, as where later runs of this name saved models alone.
        by_age = newest_first(self.names.states())
        newest = next((state for state in by_age if damage(state, quick=True) is None), None)
        gone = self.names.older(occasion.kind, saved_states, states=True)
        if newest:
            older += [state for state in gone if state != newest]
        self.uploads.release(older)
        for path in older:
            remove(path)
            self.report.say(f"Removed {path.name}.")


def _check_whole(path: Path) -> None:
    if not is_whole(path):
        raise NotWhole(f"{path} was written, but does not read back whole. Look after its disk; older models stay.")
