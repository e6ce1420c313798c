"""A benchmark that is stopped ends with all that it has started, leaves no file, and says so in a line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.stopping import REPOSITORY

PATIENCE_S = 120
COMMAND, SEVERAL, START = ["benchmarks", "several"], ["benchmarks.several"], ["benchmarks.start"]
MEMORY = ["benchmarks.memory"]


class Benchmark:
    """A benchmark at work, as the leader of a group as a terminal makes it, with a temporary folder of its own."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.folder, self.said = folder / "tmp", folder / "said.txt"
        self.folder.mkdir()
        environment = os.environ | {"TMPDIR": str(self.folder), "OMP_NUM_THREADS": "1"}
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words, "--quick"],
                cwd=REPOSITORY, env=environment, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def wait_for(self, script: str, count: int) -> list[psutil.Process]:
        """All processes, when so many of them are Python with this script."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said.read_text()
            found = self.family()
            if sum(named(one, script) for one in found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no {script}: {self.said.read_text()}")

    def send(self, number: signal.Signals, to_group: bool) -> None:
        (os.killpg if to_group else os.kill)(self.process.pid, number)


def named(process: psutil.Process, script: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    # The launcher names the script too, after its options.
    return any(word.endswith(script) for word in words[:5])


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Linux and macOS")
@pytest.mark.parametrize(
    ("words", "number", "to_group", "script", "count"),
    [
        (COMMAND, signal.SIGINT, True, "fine_tune.py", 2),
        (COMMAND, signal.SIGTERM, False, "fine_tune.py", 2),
        (SEVERAL, signal.SIGTERM, True, "fine_tune.py", 2),
        (SEVERAL, signal.SIGINT, False, "fine_tune.py", 2),
        (START, signal.SIGTERM, False, "", 2),
        (MEMORY, signal.SIGINT, True, "benchmarks.tensors", 1),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_all_ends_and_nothing_stays(tmp_path, words, number, to_group, script, count):
    benchmark = Benchmark(words, tmp_path)
    try:
        family = benchmark.wait_for(script, count)
        # Into the midst of what the last of them does first.
        time.sleep(1.0)
        benchmark.send(number, to_group)
        assert benchmark.process.wait(60) == 130
        assert not [one for one in family if lives(one)]
        # PyTorch keeps what its compiler makes in a folder for all programs.
        assert [path.name for path in benchmark.folder.iterdir() if not path.name.startswith("torchinductor")] == []
        said = benchmark.said.read_text()
        assert said.count("Stopped.") == 1 and said.rstrip().endswith("Stopped."), said
        assert "Traceback" not in said and "Error" not in said, said
    finally:
        for one in benchmark.family() if benchmark.process.poll() is None else []:
            one.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Linux and macOS")
def test_before_anything_has_begun_it_ends_in_a_line_too(tmp_path):
    benchmark = Benchmark(["benchmarks.step"], tmp_path)
    # Python is there; torch takes longer.
    while (used := psutil.Process(benchmark.process.pid).cpu_times()).user + used.system < 0.3:
        time.sleep(0.01)
    benchmark.send(signal.SIGINT, True)
    assert benchmark.process.wait(60) == 130
    assert benchmark.said.read_text() == "Stopped.\n"
