"""Starts the page, or the bare Gradio app, as a process of its own, and measures the process."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.page import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.005


@dataclass(frozen=True)
class Server:
    """A server that has answered. `start_s`: from the start of its process to its first answer."""

    url: str
    process: psutil.Process
    start_s: float

    def memory_mb(self) -> float:
        """Resident memory of the process and those that it started, in MB."""
        return sum(one.memory_info().rss for one in self._all()) / 1e6

    def loaded(self, library: str) -> bool:
        """Whether a library of this name is in the memory of any of its processes."""
        return any(library in part.path for one in self._all() for part in one.memory_maps())

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def the_page() -> Iterator[Server]:
    """gui.py as it comes, with nothing in its folders."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [str(REPOSITORY / "gui.py"), "--headless", "--runs_dir", f"{folder}/runs", "--root", folder]
        with _running([*argv, "--server_port"], folder) as server:
            yield server


@contextmanager
def bare_app(kinds: list[str] | None = None) -> Iterator[Server]:
    """The bare Gradio app, with a field for each kind."""
    argv = [str(REPOSITORY / "benchmarks" / "bare_app.py")]
    with tempfile.TemporaryDirectory() as folder, _running(argv, folder, kinds or []) as server:
        yield server


@contextmanager
def _running(before: list[str], home: str, after: list[str] | None = None) -> Iterator[Server]:
    port = free_port()
    argv = [sys.executable, *before, str(port), *(after or [])]
    began = time.perf_counter()
    process = subprocess.Popen(
        argv, cwd=home, env={**os.environ, "HOME": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_for_answer(url, process)
        start_s = time.perf_counter() - began
        yield Server(url, psutil.Process(process.pid), start_s)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                answer.read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(LOOK_EVERY_S)
    raise SystemExit(f"Error: {' '.join(process.args)} does not answer.")  # type: ignore[arg-type]
