"""Searches the parsers for input that they stumble over: `python -m benchmarks.fuzz [TARGET ...] --minutes 2`.

Guided by what of the code is reached (atheris, for Linux: `pip install atheris==3.0.0`). What is found is printed as
a line for tests/fuzz/found.txt. The exit code is 1 where anything is.
"""

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import SEEDS, WORDS

ROOT = Path(__file__).parents[1]
# What is read as a whole is larger in life; here it would only slow the search.
LONGEST_BYTES = 4096
SLOW_S = 10


def main() -> int:
    """Searches one target after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(SEEDS)}; all else")
    parser.add_argument("--minutes", type=float, default=1, help="for each target")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        return _search(given.targets[0], given.folder, given.minutes)
    found = [line for name in given.targets or SEEDS if (line := _searched(name, given.minutes))]
    print(f"{len(given.targets or SEEDS)} targets, {given.minutes:g} minutes each: {len(found)} stumbled.")
    return int(bool(found))


def _searched(name: str, minutes: float) -> str:
    """Searches in another process; the line of what was found, or an empty one."""
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        words = [sys.executable, "-m", "benchmarks.fuzz", name, "--alone", f"--minutes={minutes}", f"--folder={folder}"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace", env=_environment())
        said = done.stderr.splitlines()
        runs = next((line.split()[-1] for line in said if "number_of_executed_units" in line), "?")
        print(f"{name}: {runs} inputs", flush=True)
        crash = next(Path(folder).glob("found-*"), None)
        if not crash:
            if done.returncode:
                print("\n".join(said[-20:]))
            return "" if not done.returncode else name
        line = f"{name} {base64.b64encode(crash.read_bytes()).decode()}"
        start = next((place for place, text in enumerate(said) if "Uncaught Python exception" in text), 0)
        print("\n".join(said[start : start + 60]), line, sep="\n", flush=True)
        return line


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _search(name: str, folder: Path, minutes: float) -> int:
    """Does not come back: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["sd_scripts", "kohya_gui"]):
        from tests.fuzz import targets
    targets.FOLDER = folder
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[name]):
        (corpus / str(number)).write_bytes(seed)
    escaped = ("".join(f"\\x{byte:02x}" for byte in word[:60]) for word in WORDS)
    (folder / "words").write_text("".join(f'"{word}"\n' for word in escaped))
    limits = [f"-max_total_time={round(60 * minutes)}", f"-max_len={LONGEST_BYTES}", f"-timeout={SLOW_S}"]
    more = [
        f"-dict={folder / 'words'}",
        f"-artifact_prefix={folder}/found-",
        "-print_final_stats=1",
        "-rss_limit_mb=4096",
    ]
    atheris.Setup([sys.argv[0], *limits, *more, str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
