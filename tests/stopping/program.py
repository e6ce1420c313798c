"""A program of ours as a process: what it tells, what it is sent, how it ends, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from sd_scripts.library import events
from sd_scripts.library.events import request_line
from sd_scripts.library.example.sd_models import make_sd1

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = 6
TRAIN = ["--pretrained_model_name_or_path=sd1.safetensors", "--train_data_dir=pictures", "--in_json=meta.json",
         "--output_dir=out", "--output_name=X", "--resolution=64", "--seed=1", "--learning_rate=1e-3",
         "--max_data_loader_n_workers=2", "--max_train_steps=100000"]  # fmt: skip


def make_project(folder: Path) -> Path:
    """A tiny model, small pictures with texts, and their metadata."""
    (folder / "pictures").mkdir(parents=True)
    make_sd1(folder / "sd1.safetensors")
    entries = {}
    for i in range(PICTURES):
        path = folder / "pictures" / f"{i}.png"
        Image.effect_noise((64, 64), 50).convert("RGB").save(path)
        path.with_suffix(".txt").write_text(f"picture {i}\n")
        entries[path.stem] = {"caption": f"picture {i}", "train_resolution": [64, 64]}
    (folder / "meta.json").write_text(json.dumps(entries))
    (folder / "prompts.txt").write_text("a cat --w 64 --h 64 --s 30\n" * 40)
    return folder


class Program:
    """A script at work in a folder. `before`: what stands before its path, such as a launcher."""

    def __init__(self, folder: Path, script: str, *options: str, before: Sequence[str] = ()) -> None:
        self.folder = folder
        self.events_path, self.control_path = folder / "events.jsonl", folder / "control.jsonl"
        for path in (self.events_path, self.control_path):
            path.unlink(missing_ok=True)
        self.lines: list[str] = []
        environment = {
            **os.environ,
            events.EVENTS_VARIABLE: str(self.events_path),
            events.CONTROL_VARIABLE: str(self.control_path),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, *before, str(REPOSITORY / "sd_scripts" / script), *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def said(self) -> str:
        """What the terminal shows so far."""
        return "\n".join(self.lines)

    def told(self, kind: str = "") -> list[dict[str, Any]]:
        """The events of a kind so far."""
        if not self.events_path.exists():
            return []
        found = [json.loads(line) for line in self.events_path.read_text().splitlines() if line.startswith("{")]
        return [event for event in found if kind in ("", event["event"])]

    def wait_for(self, what: Callable[[], Any], timeout_s: float = 120) -> Any:
        """Waits until something is so."""
        deadline = time.monotonic() + timeout_s
        while not (found := what()):
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said}"
            assert time.monotonic() < deadline, f"it did not come:\n{self.said}"
            time.sleep(0.02)
        return found

    def wait_phase(self, name: str) -> None:
        """Waits until a phase has begun."""
        self.wait_for(lambda: any(event["name"] == name for event in self.told("phase")))

    def wait_steps(self, steps: int = 1) -> None:
        """Waits until so many steps are trained."""
        self.wait_for(lambda: len(self.told("metric")) >= steps)

    def ask(self, request: events.Request, folder: str | None = None) -> None:
        """Asks as the page does."""
        with open(self.control_path, "a") as stream:
            stream.write(request_line(request, folder=folder))

    def send(self, number: int = signal.SIGINT) -> None:
        """Sends a signal to the process that was started, and to no other."""
        self.process.send_signal(number)

    def family(self) -> list[psutil.Process]:
        """The processes that it has started, as far as they live."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def ends(self, timeout_s: float = 60) -> int:
        """Its exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.said}") from None

    def kill(self) -> None:
        """Ends all of it, whatever it does."""
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.process.pid:
                    process.kill()
            except (OSError, psutil.Error):
                continue
        self.process.wait()
        self.reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def parts(self) -> list[Path]:
        """What was begun and never finished."""
        return [path for path in self.folder.rglob(".*") if ".part" in path.name]


def gone(processes: list[psutil.Process], within_s: float) -> bool:
    """Whether all of them end in time."""
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
