"""How far a project is, tab by tab: read from what lies in its folders and from its runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kohya_gui import found, pictures
from kohya_gui.picture_rules import without_latents
from kohya_gui.project import Project, described
from kohya_gui.runs.store import RunStore
from kohya_gui.stages import CAPTIONS_JSON, CLEAN_JSON, LATENTS_JSON, STAGES, TAGS_JSON
from sd_scripts.library.data.images import IMAGE_SUFFIXES

_MODEL_ENDINGS = (".safetensors", ".ckpt", "")


def project_state(project: Project, store: RunStore, errors: dict[str, str]) -> dict[str, Any]:
    """Marks of the tabs, what was found at the project's paths, and counts."""
    runs = _last_runs(project, store)
    tabs = {"project": "err" if errors else "done", "dataset": _dataset_state(project)}
    tabs |= {tab: runs.get(tab) or tell(project) for tab, tell in _OUTPUTS.items()}
    tabs |= {tab: runs[tab] for tab in ("tools", "try") if runs.get(tab)}
    tabs["runs"] = "run" if store.unended() else _last_end(project, store)
    folders = [facts for folder in _folders(project) for facts in pictures.read_in(folder)]
    counts = {
        "images": sum(folder.images for folder in folders),
        "captions": sum(folder.texts[".caption"] for folder in folders),
        "tags": sum(folder.texts[".txt"] for folder in folders),
    }
    return {"tabs": tabs, "found": described(project), "counts": counts}


def _last_runs(project: Project, store: RunStore) -> dict[str, str]:
    """{tab: "run", "err", or "" where its outputs tell} by the last run of each tab."""
    marks: dict[str, str] = {}
    for run_id in store.ids():
        record = store.record(run_id)
        if record.project == project.name and record.stage in STAGES:
            state = store.status(run_id).state
            marks[STAGES[record.stage].tab] = {"running": "run", "waiting": "run", "failed": "err"}.get(state, "")
    return marks


def _last_end(project: Project, store: RunStore) -> str:
    """How the last run of a project ended. A cancelled one tells nothing."""
    for run_id in reversed(store.ids()):
        outcome = store.outcome(run_id)
        if outcome and outcome.state != "cancelled" and store.record(run_id).project == project.name:
            return "err" if outcome.state == "failed" else "done"
    return "todo"


def _texts_state(project: Project, extension: str) -> str:
    folders = [facts for folder in _folders(project) for facts in pictures.read_in(folder)]
    images, texts = sum(f.images for f in folders), sum(f.texts[extension] for f in folders)
    return "todo" if not texts else "done" if texts >= images else "stale"


def _dataset_state(project: Project) -> str:
    """Done when every picture has a text of some kind."""
    states = {_texts_state(project, extension) for extension in (".caption", ".txt")}
    return next(state for state in ("done", "stale", "todo") if state in states)


def _metadata_state(project: Project) -> str:
    written = max(_time(project, name) for name in (CAPTIONS_JSON, TAGS_JSON, CLEAN_JSON))
    texts = [pictures.newest(folder, (".caption", ".txt")) for folder in _folders(project)]
    return _by_times(written, max(texts, default=0.0))


def _latents_state(project: Project) -> str:
    before = max(_time(project, name) for name in (CAPTIONS_JSON, TAGS_JSON, CLEAN_JSON))
    model = Path(project.model)
    changed = model.stat().st_mtime if project.model and model.is_file() else 0.0
    edited = [pictures.newest(folder, IMAGE_SUFFIXES) for folder in _folders(project)]
    state = _by_times(_time(project, LATENTS_JSON), max(before, changed, *edited))
    return "stale" if state == "done" and _latents_gone(project) else state


def _latents_gone(project: Project) -> bool:
    """Whether pictures that were given a size have no latents beside them any more."""
    entries = found.metadata_at(Path(project.work_dir) / LATENTS_JSON)
    if isinstance(entries, str):
        return False
    prepared = entries.keys(lambda kind: kind.prepared_px is not None)
    folders = project.pictures if len(project.pictures) == 1 else [""]
    return bool(without_latents(prepared, folders[0]))


def _train_state(project: Project) -> str:
    names = [project.output_dir / f"{project.output_name}{ending}" for ending in _MODEL_ENDINGS]
    written = max((path.stat().st_mtime for path in names if path.exists()), default=0.0)
    return _by_times(written, _time(project, LATENTS_JSON))


def _by_times(written: float, sources: float) -> str:
    return "todo" if not written else "done" if written >= sources else "stale"


def _time(project: Project, name: str) -> float:
    path = Path(project.work_dir) / name
    return path.stat().st_mtime if project.work_dir and path.is_file() else 0.0


def _folders(project: Project) -> list[Path]:
    return [Path(folder) for folder in project.pictures if Path(folder).is_dir()]


_OUTPUTS: dict[str, Callable[[Project], str]] = {
    "caption": lambda project: _texts_state(project, ".caption"),
    "tag": lambda project: _texts_state(project, ".txt"),
    "metadata": _metadata_state,
    "latents": _latents_state,
    "train": _train_state,
}
