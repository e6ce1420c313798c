"""Projects: pictures, base model, working folder and name, typed once."""

import json
import re
import threading
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kohya_gui import found, pictures
from kohya_gui.contents import told_of_hub
from kohya_gui.files import Roots, bare, can_write, is_usable
from kohya_gui.words import from_program, refusal, say
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.twice import read_either, write_twice

VERSION = 1
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass
class Project:
    """What the user works on. `values_file`: JSON {stage: {flag: value}} with what the project brings besides."""

    name: str = ""
    pictures: list[str] = field(default_factory=list)
    model: str = ""
    work_dir: str = ""
    output_name: str = ""
    values_file: str = ""

    @property
    def output_dir(self) -> Path:
        """Where trained models go."""
        return Path(self.work_dir) / "output"

    @property
    def logging_dir(self) -> Path:
        """Where TensorBoard logs go."""
        return Path(self.work_dir) / "logs"

    def extra_values(self, stage: str) -> dict[str, Any]:
        """What the project brings for a stage besides; nothing until its file is there."""
        path = Path(self.values_file)
        if not self.values_file or not path.is_file():
            return {}
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get(stage, {})
        except (OSError, ValueError, AttributeError):
            # They are only a beginning: the form's own defaults do.
            return {}
        return values

    def as_json(self) -> dict[str, Any]:
        """The project as the page knows it."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Project":
        """A project from what the page sent: bare paths, stripped texts, no empty folders and no unknown names."""
        texts = {f.name: str(given.get(f.name) or "").strip() for f in fields(cls) if f.name != "pictures"}
        texts |= {name: bare(texts[name]) for name in ("model", "work_dir")}
        pictures = given.get("pictures") or []
        pictures = pictures.splitlines() if isinstance(pictures, str) else pictures
        return cls(**texts, pictures=[bare(str(one)) for one in pictures if bare(str(one))])


class ProjectStore:
    """All projects, in one file. `was_damaged`: it was found so since the start, and its copy was taken."""

    def __init__(self, path: Path, roots: Roots) -> None:
        self.was_damaged = False
        self.path = path
        self.roots = roots
        self._lock = threading.Lock()

    def all(self) -> list[Project]:
        """The projects, by name."""
        return sorted(map(Project.from_json, self._read()["projects"]), key=lambda project: project.name.casefold())

    @property
    def current(self) -> str | None:
        """The name of the open project."""
        name = self._read()["current"]
        return name if isinstance(name, str) else None

    def get(self, name: str) -> Project:
        """The project of a name. Errors: BadOption."""
        for project in self.all():
            if project.name == name:
                return project
        raise refusal("name", "project.unknown", name=name)

    def save(self, project: Project) -> Project:
        """Keeps a project with its paths made absolute, and opens it. `errors_of` comes first."""
        project.pictures = [str(self.roots.inside(folder, "pictures")) for folder in project.pictures]
        project.work_dir = str(self.roots.inside(project.work_dir, "work_dir"))
        project.output_name = project.output_name or project.name
        if project.model and is_path(project.model):
            project.model = str(self.roots.inside(project.model, "model"))
        with self._lock:
            others = [other for other in self.all() if other.name != project.name]
            self._write([*others, project], project.name)
        return project

    def in_reach(self, project: Project) -> Project:
        """A project that was not kept yet, without the places that the page may not reach."""
        given = {"work_dir": project.work_dir, "model": project.model if is_path(project.model) else ""}
        out = {name: "" for name, path in given.items() if path and not self._reaches(path)}
        pictures = [folder for folder in project.pictures if self._reaches(folder)]
        return replace(project, pictures=pictures, **out)

    def _reaches(self, path: str) -> bool:
        try:
            self.roots.inside(path, "path")
        except BadOption:
            return False
        return True

    def open(self, name: str) -> Project:
        """Makes a project the current one. Errors: BadOption."""
        with self._lock:
            project = self.get(name)
            self._write(self.all(), name)
        return project

    def delete(self, name: str) -> None:
        """Forgets a project; its files stay. Errors: BadOption."""
        with self._lock:
            self.get(name)
            current = None if self.current == name else self.current
            self._write([project for project in self.all() if project.name != name], current)

    def errors_of(self, project: Project) -> dict[str, str]:
        """{field: sentence} of what must be mended before the project can be kept."""
        checks = {
            "name": self._check_name,
            "pictures": self._check_pictures,
            "model": self._check_model,
            "work_dir": self._check_work_dir,
            "output_name": self._check_output_name,
        }
        errors: dict[str, str] = {}
        for name, check in checks.items():
            try:
                check(project)
            except BadOption as error:
                errors[name] = from_program(str(error))
        return errors

    def _check_name(self, project: Project) -> None:
        if not project.name:
            raise refusal("name", "project.name_needed")
        if _UNSAFE.search(project.name) or len(project.name) > 60:
            raise refusal("name", "project.name_unsafe")

    def _check_pictures(self, project: Project) -> None:
        if not project.pictures:
            raise refusal("pictures", "path.pictures_needed")
        folders = [self.roots.inside(folder, "pictures") for folder in project.pictures]
        for folder in folders:
            if not pictures.is_parent(folder):
                check_pictures(folder, "pictures")
        if len(set(folders)) < len(folders):
            raise refusal("pictures", "project.folder_twice")

    def _check_model(self, project: Project) -> None:
        if project.model and is_path(project.model):
            path = self.roots.inside(project.model, "model")
            if found.model_at(path) is None:
                raise refusal("model", "path.no_model" if path.exists() else "path.no_file", path=path)

    def _check_work_dir(self, project: Project) -> None:
        if not project.work_dir:
            raise refusal("work_dir", "project.work_dir_needed")
        path = self.roots.inside(project.work_dir, "work_dir")
        if path.exists() and not path.is_dir():
            raise refusal("work_dir", "path.not_a_folder", path=path)
        if not can_write(path):
            raise refusal("work_dir", "path.not_writable", path=path)

    def _check_output_name(self, project: Project) -> None:
        if _UNSAFE.search(project.output_name) or project.output_name.startswith("."):
            raise refusal("output_name", "project.output_name_unsafe")

    def _read(self) -> dict[str, Any]:
        found = read_either(self.path, _projects_in)
        if found.damaged and found.value is None:
            raise refusal("", "project.broken_file", path=self.path)
        self.was_damaged |= found.damaged
        kept: dict[str, Any] = found.value or {"projects": [], "current": None}
        return kept

    def _write(self, projects: list[Project], current: str | None) -> None:
        kept = {"version": VERSION, "current": current, "projects": [project.as_json() for project in projects]}
        write_twice(self.path, kept)


def _projects_in(saved: dict[str, Any]) -> dict[str, Any]:
    """What the file holds, as it stands. Errors: those that `read_either` takes for damage."""
    for project in saved["projects"]:
        Project.from_json(project)
    return {"projects": saved["projects"], "current": saved["current"]}


def is_path(model: str) -> bool:
    """Whether a model is meant as a path, not as a hub id (owner/name, without an ending of a model file)."""
    if not is_usable(model):
        return True
    path = Path(model).expanduser()
    hub_like = re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not model.lower().endswith(found.MODEL_SUFFIXES)
    return path.is_absolute() or path.exists() or not hub_like


def check_pictures(folder: Path, field: str) -> pictures.FolderFacts:
    """The pictures of a folder. Errors: BadOption, when there are none."""
    if not folder.exists():
        raise refusal(field, "path.no_folder", path=folder)
    if not folder.is_dir():
        raise refusal(field, "path.not_a_folder", path=folder)
    try:
        facts = pictures.facts_of(folder)
    except OSError as error:
        raise refusal(field, "path.unreadable", path=folder, why=error.strerror) from error
    if not facts.images:
        raise refusal(field, "path.pictures_below" if facts.below else "path.no_pictures", path=folder, n=facts.below)
    return facts


def described(project: Project) -> dict[str, str]:
    """What was found at the project's paths, in words."""
    folders = [facts for one in project.pictures if Path(one).is_dir() for facts in pictures.read_in(Path(one))]
    texts = [max((folder.texts[ext] for ext in (".caption", ".txt")), default=0) for folder in folders]
    images = sum(folder.images for folder in folders)
    free = found.size_free(Path(project.work_dir)) if project.work_dir else ""
    return {
        "pictures": say("found.images_without_text", n=images, without=images - sum(texts)) if folders else "",
        "model": _told_of_model(project.model),
        "work_dir": say("found.free", free=free) if free else "",
    }


def _told_of_model(model: str) -> str:
    """A model in words; nothing for a file that is not there yet, or is no model."""
    if not model or not is_path(model):
        return told_of_hub(model) if model else ""
    facts = found.model_at(Path(model).expanduser())
    return facts.describe() if facts else ""
