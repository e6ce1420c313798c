"""What the page and other programs can ask: every answer is a plain JSON value, every trouble a sentence."""

import locale
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from kohya_gui import devices, example, pipeline
from kohya_gui.arguments import GivenProject, Json, Values, exact, fits
from kohya_gui.checks import Checked, Confirmed, check, stand_against
from kohya_gui.command import stage_argv, texts, with_placeholders
from kohya_gui.dataset.albums import Albums
from kohya_gui.dataset.backups import Backups
from kohya_gui.dataset.thumbnails import Thumbnails
from kohya_gui.dataset_api import DatasetEndpoints
from kohya_gui.endpoint import ENDPOINTS, endpoint
from kohya_gui.facts import Fact, estimates
from kohya_gui.files import Roots, bare
from kohya_gui.fit_api import FitEndpoints
from kohya_gui.fitted import add_found
from kohya_gui.form_api import FormEndpoints
from kohya_gui.launch import findings_json, program_version, run_facts, run_name, step_facts
from kohya_gui.monitor import Monitor
from kohya_gui.past import nearest
from kohya_gui.preset_api import PresetEndpoints
from kohya_gui.presets import PresetStore, known_stage
from kohya_gui.project import Project, ProjectStore
from kohya_gui.relay import board_url
from kohya_gui.requeue import check_again
from kohya_gui.rivals import add_rivals
from kohya_gui.run_api import RunEndpoints
from kohya_gui.runs.history import History
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
from kohya_gui.shortage import add_shortage
from kohya_gui.stages import STAGES, stage_values
from kohya_gui.state import project_state
from kohya_gui.tensorboard import Server, TensorBoards
from kohya_gui.try_api import TryEndpoints
from kohya_gui.words import refusal, say


class Studio(DatasetEndpoints, FitEndpoints, FormEndpoints, PresetEndpoints, RunEndpoints, TryEndpoints):
    """The server side of the page. Methods may be called from several threads."""

    ENDPOINTS = ENDPOINTS

    def __init__(self, runs_dir: Path, roots: list[Path], presets_dir: Path, repo: Path) -> None:
        self.repo = repo
        self._example_dir = runs_dir / "example"
        self.roots = Roots(roots, runs_dir, self._example_dir)
        self._queue = Queue(RunStore(runs_dir), roots=self.roots.readable)
        self._monitor = Monitor(self._queue)
        self._history = History(self._queue)
        self._projects = ProjectStore(runs_dir / "projects.json", self.roots)
        self._presets = PresetStore(presets_dir, runs_dir / "presets")
        self._boards = TensorBoards(runs_dir / "tensorboard.json")
        self.thumbnails = Thumbnails(runs_dir / "thumbnails")
        self._albums = Albums(self.roots, self.thumbnails)
        self._backups = Backups(runs_dir / "text_backups")
        # What was queued before the last shutdown goes on; what was not queued whole is told.
        with self._queue.changing():
            pass
        self._queue.wake()

    @contextmanager
    def open(self) -> Iterator[None]:
        """While the page is served; afterwards no TensorBoard stays behind. Runs go on."""
        try:
            yield
        finally:
            self._boards.stop(None)

    def boards(self) -> list[Server]:
        """The TensorBoards that run."""
        return self._boards.running()

    def call(self, name: str, args: Json) -> Json:
        """Answers the endpoint `name`; unknown names and wrong arguments are answered with a sentence."""
        if name not in self.ENDPOINTS or not fits(args, Json):
            return {"error": say("call.unknown", name=name), "field": None}
        answer: Json = exact(getattr(self, name)(**args))
        return answer

    @endpoint
    def info(self) -> Json:
        """Facts that the page shows or needs once."""
        gpus = devices.gpus()
        return {
            "version": program_version(self.repo),
            "platform": platform.system(),
            "lang_hint": "ja" if (locale.getlocale()[0] or "").startswith(("ja", "Japanese")) else "en",
            "roots": [str(root) for root in self.roots.folders],
            "device": asdict(gpus[0]) if gpus else None,
            "stages": [{"id": s.id, "title": say(f"stage.{s.id}"), "tab": s.tab} for s in STAGES.values()],
            "home": str(Path.home()),
        }

    @endpoint
    def projects(self) -> Json:
        """All projects, and the open one's name."""
        known = [project.as_json() for project in self._projects.all()]
        trouble = say("project.copy_used", path=self._projects.path) if self._projects.was_damaged else ""
        return {"projects": known, "current": self._projects.current, "trouble": trouble}

    @endpoint
    def project_save(self, project: dict[str, str | list[str] | None], is_new: bool = False) -> Json:
        """Keeps a project and opens it; or says by field what must be mended. A new one takes no other's place."""
        given = self._sent(project)
        errors = self._projects.errors_of(given)
        if is_new and any(given.name == other.name for other in self._projects.all()):
            errors["name"] = say("project.name_taken", name=given.name)
        return {"errors": errors} if errors else {"project": self._projects.save(given).as_json()}

    @endpoint
    def project_open(self, name: str) -> Json:
        """Opens a project."""
        return {"project": self._projects.open(name).as_json()}

    @endpoint
    def project_delete(self, name: str) -> Json:
        """Forgets a project; its files stay."""
        self._projects.delete(name)
        return {"ok": True}

    @endpoint
    def project_state(self, name: str) -> Json:
        """How far a project is, tab by tab, and what lies at its paths."""
        project = self._projects.get(name)
        return project_state(project, self._queue.store, self._projects.errors_of(project))

    @endpoint
    def example_project(self) -> Json:
        """Queues the making of the example project, and opens it."""
        project = self._projects.save(example.example_project(self._example_dir))
        record = self._queue.add(**example.example_run(self._example_dir, self.repo))
        return {"project": project.as_json(), "run_id": record.id}

    @endpoint
    def stage_values(self, stage: str, project: GivenProject = None, folder_index: int = 0) -> Json:
        """What project and earlier stages give to a stage, for one of the project's folders."""
        filled = stage_values(known_stage(stage), self._project(project), folder_index)
        return {"values": filled.values, "links": filled.links}

    @endpoint
    def all_stage_values(self, project: GivenProject = None, folders: dict[str, int] | None = None) -> Json:
        """The same of all stages, by name. `folders`: which of the folders a stage works on, where not the first."""
        given, at = self._project(project), folders or {}
        filled = {stage.id: stage_values(stage, given, at.get(stage.id, 0)) for stage in STAGES.values()}
        return {name: {"values": one.values, "links": one.links} for name, one in filled.items()}

    @endpoint
    def check(self, stage: str, values: Values, project: GivenProject = None, replaces: str | None = None) -> Json:
        """What is wrong, what was found at every path, what the start means in figures, and the command.

        `pending`: more will be known soon, as pictures are still being looked at.
        `replaces`: the waiting run whose settings these are to become.
        """
        checked = self._check(stage, values, project, replaces)
        draft = checked.draft
        facts = [*checked.facts, *self._estimates(checked)]
        argv = stage_argv(draft.stage, with_placeholders(draft.stage, draft.values), self.repo)
        return {
            "fields": checked.fields,
            "findings": findings_json(checked.findings),
            "pending": checked.pending,
            "facts": [fact.as_json() for fact in facts],
            "command": texts(argv),
        }

    @endpoint
    def start(self, stage: str, values: Values, project: GivenProject = None, confirm: Confirmed = False) -> Json:
        """Queues a stage, which begins as soon as its device is free; or says what stands against it.

        Of a project with several folders, one run for each: they are chained. `waits`: another run comes first.
        `confirm`: true for whatever is warned of, or the texts of the warnings that were read.
        """
        given = self._project(project)
        each = pipeline.folder_steps(known_stage(stage), values, given, self.roots)
        add_rivals(each, self._queue.store)
        add_shortage(each, self._queue.store)
        waits = next((checked for checked in each if checked.blocks(confirm)), None)
        if waits:
            return {"findings": findings_json(waits.findings)}
        facts = [run_facts(checked, self.repo, run_name(checked)) for checked in each]
        if len(facts) == 1:
            record = self._queue.add(**facts[0])
            return {"run_id": record.id, "waits": self._queue.waits(record)}
        records = self._queue.add_chain(facts)
        return {"run_id": records[0].id, "chain": [r.id for r in records], "waits": self._queue.waits(records[0])}

    @endpoint
    def queue(self, stage: str, values: Values, project: GivenProject = None, confirm: Confirmed = False) -> Json:
        """The same as start: whatever is started waits for its turn."""
        answer: Json = self.start(stage, values, project, confirm)
        return answer

    @endpoint
    def pipeline(
        self,
        project: GivenProject,
        skip: list[str] | None = None,
        caption: str = "blip",
        tagger: str = "wd14",
        clean: bool = True,
        train: str = "train",
        values: dict[str, Values] | None = None,
        confirm: Confirmed = False,
    ) -> Json:
        """Queues all stages as a chain; or says what stands against it."""
        choice = pipeline.Choice(frozenset(skip or ()), caption, tagger, clean, values or {}, train)
        steps = pipeline.plan(self._project(project), choice, self.roots)
        add_rivals([step.checked for step in steps], self._queue.store)
        add_shortage([step.checked for step in steps], self._queue.store)
        findings = pipeline.findings(steps)
        if stand_against(findings, confirm):
            return {"findings": findings_json(findings)}
        records = self._queue.add_chain([step_facts(step, self.repo) for step in steps])
        return {"chain": [record.id for record in records]}

    @endpoint
    def browse(self, path: str = "", kind: str = "folder") -> Json:
        """What lies in a folder, for choosing a path of a kind."""
        return self.roots.browse(path, kind)

    @endpoint
    def tensorboard(self, action: str, logdir: str | None = None) -> Json:
        """Starts TensorBoard for a folder of logs, stops it, or says where it is."""
        folder = self.roots.inside(bare(logdir), "logdir") if logdir else None
        if action not in ("start", "stop", "status") or (action == "start" and folder is None):
            raise refusal("logdir", "tensorboard.folder_needed")
        if action == "stop":
            self._boards.stop(folder)
        server = self._boards.start(folder) if action == "start" and folder else self._boards.status(folder)
        return {"running": server is not None, "url": board_url(server) if server else None}

    def _check(self, stage: str, values: Values, project: GivenProject, replaces: str | None) -> Checked:
        if replaces in self._queue.store.unended():
            given = self._project_of(replaces, project if isinstance(project, str) else None)
            return check_again(known_stage(stage), values, given, self.roots, self._queue.store, replaces)
        checked = check(known_stage(stage), values, self._project(project), self.roots)
        add_rivals([checked], self._queue.store)
        add_shortage([checked], self._queue.store)
        add_found(checked, self._queue.store)
        return checked

    def _estimates(self, checked: Checked) -> list[Fact]:
        """How long it will take and how much memory, from earlier runs, or by a formula."""
        draft = checked.draft
        values = {flag: draft.get(flag) for flag in draft.specs}
        return estimates(draft, nearest(self._queue.store, draft.stage, values))

    def _project(self, project: GivenProject) -> Project:
        """A project by its name, or as the page sent it, as far as it is in reach; none is one without values."""
        if isinstance(project, dict):
            return self._projects.in_reach(self._sent(project))
        return self._projects.get(project) if project else Project()

    def _sent(self, project: dict[str, str | list[str] | None]) -> Project:
        """A project as the page sent it. Only the program itself says which file brings further values."""
        given = Project.from_json(project)
        known = {other.name: other for other in self._projects.all()}
        given.values_file = known[given.name].values_file if given.name in known else ""
        return given
