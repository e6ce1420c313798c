"""Runs of the fake trainer in a folder of their own."""

import json
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from kohya_gui.api import Studio
from kohya_gui.runs import fake_trainer
from kohya_gui.runs.events import RunView
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
from sd_scripts.library import systems

REPO = Path(__file__).resolve().parents[2]
FAKE = fake_trainer.__file__
ENDED = ("done", "failed", "stopped", "cancelled")


class Lab:
    """A queue whose runs are fake trainers."""

    def __init__(self, runs_dir: Path, stop_grace_s: float = 60.0) -> None:
        self.store = RunStore(runs_dir)
        self.queue = Queue(self.store, stop_grace_s=stop_grace_s)

    def step(self, name: str, *args: str, devices: tuple[str, ...] = ("cpu",), argv: list[str] | None = None) -> dict:
        argv = argv or [sys.executable, FAKE, *args]
        work_dir = str(self.store.runs_dir.parent / "work")
        return {
            "stage": "train", "name": name, "title": "Fake",
            "argv": argv, "work_dir": work_dir, "devices": list(devices),
        }  # fmt: skip

    def add(self, name: str, *args: str, **facts) -> str:
        return self.queue.add(**self.step(name, *args, **facts)).id

    def wait(self, run_id: str, *states: str, timeout_s: float = 90.0):
        deadline = time.monotonic() + timeout_s
        while (status := self.store.status(run_id)).state not in (states or ENDED):
            assert time.monotonic() < deadline, f"{run_id} is still {status.state}"
            time.sleep(0.05)
        return status

    def wait_steps(self, run_id: str, steps: int) -> None:
        deadline = time.monotonic() + 90
        while len(RunView(self.store.events_path(run_id)).update().points) < steps:
            assert time.monotonic() < deadline, f"{run_id} makes no steps"
            time.sleep(0.05)


def end_all(runs_dir: Path) -> None:
    """Ends the worker and every run of a folder."""
    for path in [*runs_dir.glob("worker.json"), *runs_dir.glob("*/process.json"), *runs_dir.glob("tensorboard.json")]:
        try:
            found = json.loads(path.read_text() or "{}")
        except FileNotFoundError:
            continue  # A worker that has nothing more to do takes its file away.
        for one in found.get("servers", [found]):
            if one.get("pid") and psutil.pid_exists(one["pid"]):
                systems.stop_tree(systems.ProcessId(one["pid"], one["created_s"]), grace_s=0)


@pytest.fixture
def studio(tmp_path):
    """A studio whose only root is a folder of its own."""
    (tmp_path / "home").mkdir()
    runs_dir = tmp_path / "runs"
    yield Studio(runs_dir, [tmp_path / "home", runs_dir], REPO / "presets", REPO)
    end_all(runs_dir)


@pytest.fixture
def pictures(tmp_path):
    """Two pictures with a caption and a tag file each."""
    folder = tmp_path / "home" / "pics"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
        (folder / f"{name}.caption").write_text(f"a picture of {name}")
        (folder / f"{name}.txt").write_text("long_hair, rating:safe")
    return folder


@pytest.fixture
def lab(tmp_path):
    runs_dir = tmp_path / "runs"
    yield Lab(runs_dir)
    end_all(runs_dir)
