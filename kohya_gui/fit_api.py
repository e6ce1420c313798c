"""What the page can ask about fitting a training into the memory: a run that tries it."""

from pathlib import Path

from kohya_gui.arguments import GivenProject, Json, Values
from kohya_gui.checks import check
from kohya_gui.endpoint import endpoint
from kohya_gui.files import Roots
from kohya_gui.fitted import fit_facts
from kohya_gui.launch import findings_json
from kohya_gui.presets import known_stage
from kohya_gui.project import Project
from kohya_gui.runs.queue import Queue
from kohya_gui.words import refusal


class FitEndpoints:
    """The part of the studio behind the button at the memory's figure."""

    repo: Path
    roots: Roots
    _queue: Queue

    @endpoint
    def fit(self, stage: str, values: Values, project: GivenProject = None) -> Json:
        """Queues a run that tries settings of a training, once; or says what stands against that training."""
        known = known_stage(stage)
        if not known.trains:
            raise refusal("stage", "fit.trains_not", stage=stage)
        checked = check(known, values, self._project(project), self.roots)
        if checked.blocks(True):
            return {"findings": findings_json(checked.findings)}
        record = self._queue.add_once(**fit_facts(checked, self.repo))
        return {"run_id": record.id, "waits": self._queue.waits(record)}

    def _project(self, project: GivenProject) -> Project:
        raise NotImplementedError
