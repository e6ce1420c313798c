"""What the page and other programs can ask: every answer is a plain JSON value, every trouble a sentence."""

import functools
import inspect
import locale
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kohya_gui.project import Project
from kohya_gui.stages import STAGES, stage_values
from sd_scripts.library.errors import UserError

Json = dict[str, Any]
Values = dict[str, Any]

_ENDPOINTS: list[str] = []


def endpoint(method: Callable[..., Json]) -> Callable[..., Json]:
    """Makes a method reachable from the page by its name; its users' errors become answers."""
    _ENDPOINTS.append(method.__name__)

    @functools.wraps(method)
    def answered(self: "Studio", *args: Any, lang: str = "en", **kwargs: Any) -> Json:
        try:
            return method(self, *args, **kwargs)
        except UserError as error:
            return {"error": str(error), "field": getattr(error, "option", None)}

    return answered


class Studio:
    """The server side of the page. Methods may be called from several threads."""

    ENDPOINTS = _ENDPOINTS

    def __init__(self, runs_dir: Path, roots: list[Path], presets_dir: Path, repo: Path) -> None:
        self.runs_dir = runs_dir
        self.roots = roots
        self.presets_dir = presets_dir
        self.repo = repo

    def call(self, name: str, args: Json) -> Json:
        """Answers the endpoint `name`; unknown names and wrong arguments are answered with a sentence."""
        if name not in self.ENDPOINTS:
            return {"error": f'There is no action "{name}".', "field": None}
        try:
            inspect.signature(getattr(type(self), name)).bind(self, **{k: v for k, v in args.items() if k != "lang"})
        except TypeError as error:
            return {"error": f"{name}: {error}", "field": None}
        answer: Json = getattr(self, name)(**args)
        return answer

    @endpoint
    def info(self) -> Json:
        """Facts that the page shows or needs once."""
        return {
            "version": "0.1.0",
            "platform": platform.system(),
            "lang_hint": "ja" if (locale.getlocale()[0] or "").startswith("ja") else "en",
            "secure": False,
            "roots": [str(root) for root in self.roots],
            "device": None,
            "stages": [{"id": s.id, "title": s.title, "tab": s.tab} for s in STAGES.values()],
            "home": str(Path.home()),
        }

    @endpoint
    def projects(self) -> Json:
        """All projects, and the open one's name."""
        return {"projects": [], "current": None}

    @endpoint
    def project_save(self, project: Json) -> Json:
        """Keeps a project and opens it."""
        return {"project": Project(**project).as_json()}

    @endpoint
    def project_open(self, name: str) -> Json:
        """Opens a project."""
        return {"project": Project(name=name).as_json()}

    @endpoint
    def project_delete(self, name: str) -> Json:
        """Forgets a project; its files stay."""
        return {"ok": True}

    @endpoint
    def project_state(self, name: str) -> Json:
        """How far a project is, tab by tab."""
        tabs = dict.fromkeys(("project", "caption", "tag", "metadata", "latents", "train", "runs"), "todo")
        return {"tabs": tabs, "found": {"pictures": "", "model": "", "work_dir": ""}, "counts": {}}

    @endpoint
    def example_project(self) -> Json:
        """Queues the making of the example project."""
        return {"project": Project(name="example").as_json(), "run_id": ""}

    @endpoint
    def stage_values(self, stage: str, project: Any, folder_index: int = 0) -> Json:
        """What project and earlier stages give to a stage."""
        if not isinstance(project, dict):
            return {"values": {}, "links": {}}
        filled = stage_values(STAGES[stage], Project(**project), folder_index)
        return {"values": filled.values, "links": filled.links}

    @endpoint
    def check(self, stage: str, values: Values, project: Any = None) -> Json:
        """What is wrong, what was found, and the command."""
        return {"fields": {}, "findings": [], "facts": [], "command": {"sh": "", "cmd": ""}}

    @endpoint
    def start(self, stage: str, values: Values, project: Any = None, confirm: bool = False) -> Json:
        """Starts a stage, or says what stands against it."""
        return {"run_id": ""}

    @endpoint
    def queue(self, stage: str, values: Values, project: Any = None, confirm: bool = False) -> Json:
        """Appends a stage to the queue."""
        return {"run_id": ""}

    @endpoint
    def pipeline(
        self,
        project: Any,
        skip: list[str] | None = None,
        caption: str = "blip",
        tagger: str = "wd14",
        clean: bool = True,
        values: dict[str, Values] | None = None,
        confirm: bool = False,
    ) -> Json:
        """Queues all stages as a chain."""
        return {"chain": []}

    @endpoint
    def runs(self) -> Json:
        """The queue, and what ran before."""
        return {"queue": [], "history": []}

    @endpoint
    def run(self, id: str, since_event: int = 0) -> Json:
        """One run, with what happened since an event."""
        return {"error": f"There is no run {id}.", "field": None}

    @endpoint
    def run_log(self, id: str, offset: int = 0) -> Json:
        """What a run printed, from a place on; a negative offset counts from the end."""
        return {"text": "", "next_offset": 0}

    @endpoint
    def run_request(self, id: str, request: str) -> Json:
        """Asks a run for something."""
        return {"ok": True}

    @endpoint
    def poll(self, run: str | None = None, since_event: int = 0, log_offset: int = 0) -> Json:
        """What the page asks every two seconds."""
        return {"active": None, "waiting": 0, "run": None, "log": None}

    @endpoint
    def presets(self, stage: str) -> Json:
        """The presets of a stage."""
        return {"builtin": [], "mine": []}

    @endpoint
    def preset_save(self, stage: str, name: str, description: str, values: Values) -> Json:
        """Keeps values as a preset."""
        return {"preset": {"name": name, "description": description, "builtin": False, "values": values}}

    @endpoint
    def preset_delete(self, stage: str, name: str) -> Json:
        """Deletes one of the user's presets."""
        return {"ok": True}

    @endpoint
    def browse(self, path: str = "", kind: str = "folder") -> Json:
        """What lies in a folder."""
        return {"path": path, "parent": None, "folders": [], "files": [], "found": "", "roots": []}

    @endpoint
    def tensorboard(self, action: str, logdir: str | None = None) -> Json:
        """Starts TensorBoard, stops it, or says where it is."""
        return {"running": False, "url": None}
