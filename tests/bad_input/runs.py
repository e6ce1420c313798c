"""A way to run any script as a user does, and to see what it leaves behind."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.data.bad_pictures import BROKEN, NAMES, ODD

SCRIPTS = Path(__file__).parents[2] / "sd_scripts"

# A stem each: truncated.jpg and truncated.png would share their text.
BROKEN_ALONE = {name.replace(".", "_") + Path(name).suffix: content for name, content in BROKEN.items()}
GOOD = (*ODD, *NAMES)


@dataclass(frozen=True)
class Done:
    """A finished script: exit code, what it said, its events, and the modules that it imported when that was asked."""

    code: int
    said: str
    events: list[dict]
    imported: str

    @property
    def last(self) -> str:
        return self.said.splitlines()[-1]


def run(script: str, *argv: object, cwd: Path, watch_imports: bool = False) -> Done:
    """Runs a script as its users do. `argv` may hold paths within `cwd`, or any other."""
    events = cwd / "events.jsonl"
    events.unlink(missing_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, *(["-X", "importtime"] if watch_imports else []), str(SCRIPTS / script), *map(str, argv)]
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment | {"SD_SCRIPTS_EVENTS": str(events)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=200,
    )
    lines = done.stderr.splitlines()
    said = "\n".join(line for line in lines if not line.startswith("import time:"))
    imported = "\n".join(line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:"))
    rows = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    events.unlink()
    return Done(done.returncode, said, rows, imported)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with what it holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
