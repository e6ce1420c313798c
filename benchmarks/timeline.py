"""Runs a script as from the command line, and writes when it read in which package: `python -m benchmarks.timeline`.

Arguments: the file to write, then the script with its own. What is written: [name, began, seconds without what it read
in itself] for each module.
"""

import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Runs the script, and writes the list however it ends."""
    target, script = Path(sys.argv[1]), sys.argv[2]
    loads = watch_imports()
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        target.write_text(json.dumps(loads), encoding="utf-8")


def watch_imports() -> list[tuple[str, float, float]]:
    """A list to which every module is added when it has been read in."""
    system: Any = sys.modules["_frozen_importlib"]
    load, loads, inner_s = system._load_unlocked, [], [0.0]

    def timed(spec: Any) -> Any:
        began_s, began = time.perf_counter(), time.time()
        inner_s.append(0.0)
        try:
            return load(spec)
        finally:
            whole_s = time.perf_counter() - began_s
            loads.append((spec.name, began, whole_s - inner_s.pop()))
            inner_s[-1] += whole_s

    system._load_unlocked = timed
    return loads


if __name__ == "__main__":
    main()
