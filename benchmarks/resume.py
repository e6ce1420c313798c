"""Whether 20 steps are 10 + 10 and 10 + 5 + 5, bit for bit: `python -m benchmarks.resume --help`.

Every training runs to its end, again from its state of half the way, and from that one's state of three quarters. What
the parts told, logged and wrote must be what the whole one did: losses and rates, weights, states, names, samples,
TensorBoard's steps and values. The exit code is 1 where anything differs.
"""

import argparse
import functools
import hashlib
import importlib
import io
import json
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.resume_cases import Case, Values, cases, needed
from benchmarks.stopping import stoppable
from sd_scripts.library.example.sd_models import make_sd1, make_sdxl
from sd_scripts.library.models import sources
from sd_scripts.library.program import parse_and_work
from sd_scripts.library.report import Report
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.values import to_argv

PICTURES = {"a": (96, 64), "b": (64, 96), "c": (128, 128), "d": (72, 72), "e": (64, 64)}
# What names the moment of writing, and the hashes of what holds it.
_CLOCKS = ("ss_training_started_at", "ss_training_finished_at", "ss_session_id", "modelspec.date", "saved_at",
           "sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")  # fmt: skip
_NOT_COMPARED = ("_s", "/s", "bytes", "memory", "time")


@dataclass
class Told:
    """What a training told and left behind."""

    metrics: dict[int, Values] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    logged: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    validated: dict[int, float] = field(default_factory=dict)


def make_world(here: Path) -> None:
    """Pictures with texts, in a folder as train_db.py wants it too, and tiny models."""
    random, entries = np.random.default_rng(5), {}
    for folder in (here / "pictures", here / "named" / "2_red cat"):
        folder.mkdir(parents=True)
        for stem, (width, height) in PICTURES.items():
            coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{stem}.png")
            entries[stem] = {"caption": f"a {stem} thing", "tags": "red, {tall|small}, blue sky, green leaves"}
            (folder / f"{stem}.caption").write_text(f"{stem}, red, tall, blue sky", encoding="utf-8")
    (here / "meta.json").write_text(json.dumps(entries), encoding="utf-8")
    (here / "prompts.txt").write_text("a red cat --w 64 --h 64 --s 1 --ss euler_a\n", encoding="utf-8")
    make_sd1(here / "sd1.safetensors")
    make_sdxl(here / "sdxl.safetensors")
    # Made once: it is only read, and making it takes a quarter of a training.
    sources.clip_tokenizer = functools.cache(sources.clip_tokenizer)


def differences(case: Case, here: Path, steps: int) -> list[str]:
    """Where the parts of a training differ from the whole of it."""
    half, quarter = steps // 2, steps // 4
    given = {**needed(case, here), **case.values, "max_train_steps": steps, "save_every_n_steps": quarter}
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / name for name in ("whole", "half", "rest")]
        whole = train(case.script, given, outs[0], here)
        given |= case.resumed
        first = train(case.script, given | {"resume": str(state(outs[0], half))}, outs[1], here)
        rest = train(case.script, given | {"resume": str(state(outs[1], half + quarter))}, outs[2], here)
        compared = (("half", half, outs[1], first), ("rest", half + quarter, outs[2], rest))
        return [
            f"{name}: {found}"
            for name, step, out, part in compared
            for found in compare(whole, part, step, samples="sample_prompts" in case.values)
        ]


def state(out: Path, step: int) -> Path:
    """The state that was saved after a step."""
    return out / f"X-step{step:08d}-state"


def train(script: str, values: Values, out: Path, here: Path) -> Told:
    """Runs a script's work in this process, as a new process would begin."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    # What a generator held before is never what it holds in another process.
    torch.seed()
    given = {name: _placed(value, here) for name, value in values.items()}
    argv = to_argv(SCRIPTS[script], given | {"output_dir": str(out), "logging_dir": str(out / "log")})
    told, report = Told(), Report(out=io.StringIO())
    report.emit = lambda event: _hear(told, event)  # type: ignore[method-assign]
    work = importlib.import_module("sd_scripts." + script.removesuffix(".py")).work
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parse_and_work(SCRIPTS[script], work, report, argv, script)
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        _note(told, file, file.relative_to(out).as_posix())
    return told


def compare(whole: Told, part: Told, step: int, samples: bool) -> list[str]:
    """Where what came after a step differs."""
    found = [
        f"step {one}: {told}" for one, told in _later(whole.metrics, step).items() if part.metrics.get(one) != told
    ]
    found += [f"step {one} once more" for one in part.metrics if one <= step]
    found += ["validation"] * (_later(whole.validated, step) != part.validated)
    for tag, values in whole.logged.items():
        if _later(values, step) != part.logged.get(tag, {}):
            found.append(f"TensorBoard's {tag}: {_later(values, step)} and {part.logged.get(tag)}")
    # A sample's name holds the time and then the epoch or the step.
    names = {name for name in whole.files | part.files if samples or not name.startswith("sample/")}
    for name in sorted(names):
        expected = whole.files.get(name) if name in part.files or _step_of(name, whole) > step else None
        if expected != part.files.get(name):
            found.append(f"{name}: {expected} and {part.files.get(name)}")
    return found


def _later(values: dict[int, Any], step: int) -> dict[int, Any]:
    return {one: value for one, value in values.items() if one > step}


def _step_of(name: str, whole: Told) -> float:
    """The step after which a file was written, as its name has it; at the end, where it names none."""
    stem = name.removeprefix("sample/")
    if "step" in stem:
        return int(stem.partition("step")[2][:8])
    numbered = stem.split("-state")[0].removesuffix(".safetensors").rpartition("-")[2]
    if numbered.isdigit():
        last = [step for step, told in whole.metrics.items() if told["epoch"] == int(numbered)]
        return max(last, default=0)
    if name.startswith("sample/"):
        return int(stem.split("_")[1].lstrip("e")) if stem.split("_")[1].isdigit() else 0
    # The best model lies where it was found, before or after.
    return 0 if "best" in stem else float("inf")


def _placed(value: Any, here: Path) -> Any:
    return value.replace("{here}", str(here)) if isinstance(value, str) else value


def _hear(told: Told, event: Any) -> None:
    if event.event == "metric":
        kept = {name: value for name, value in event.values.items() if not name.endswith(_NOT_COMPARED)}
        told.metrics[event.step] = {**kept, "epoch": event.epoch}
    elif event.event == "validation":
        told.validated[event.step] = event.loss


def _note(told: Told, file: Path, name: str) -> None:
    if file.name.startswith("events.out.tfevents"):
        _note_log(told, file)
    elif name.startswith("sample/"):
        # cat_000004_00_20260101000000_1.png: without its clock.
        with Image.open(file) as picture:
            told.files["sample/" + _without_clock(file.stem)] = _digest(picture.tobytes())
    elif file.name not in ("sums.json", ".kohya") and "/log/" not in f"/{name}":
        told.files[name] = _content(file)


def _without_clock(stem: str) -> str:
    return "_".join(word for word in stem.split("_") if not (len(word) == 14 and word.isdigit()))


def _note_log(told: Told, file: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(file), size_guidance={"scalars": 0})
    log.Reload()
    for tag in log.Tags()["scalars"]:
        if not any(word in tag for word in _NOT_COMPARED):
            told.logged[tag] |= {event.step: event.value for event in log.Scalars(tag)}


def _content(file: Path) -> str:
    """A digest of what a file says, without clocks."""
    if file.suffix == ".json":
        return json.dumps(_steady(json.loads(file.read_text(encoding="utf-8"))), sort_keys=True)
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, "pt") as opened:
            tensors = {name: _of_tensor(opened.get_tensor(name)) for name in sorted(opened.keys())}
            return _digest(json.dumps([tensors, _steady(opened.metadata() or {})], sort_keys=True).encode())
    if file.suffix == ".pt":
        return _digest(_plain(torch.load(file, weights_only=False)).encode())
    return _digest(file.read_bytes())


def _steady(values: Any) -> Any:
    return {key: value for key, value in values.items() if key not in _CLOCKS} if isinstance(values, dict) else values


def _plain(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return _of_tensor(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_plain(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_plain, value)) + "]"
    return repr(value) if isinstance(value, int | float | str | bool | None) else type(value).__name__


def _of_tensor(tensor: torch.Tensor) -> str:
    data = tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return f"{tensor.dtype}{tuple(tensor.shape)}{_digest(data)}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def main() -> int:
    """Tries all cases, or those whose name holds a text; prints a table by method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="steps of the whole training, in fours (default: 20)")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--within_s", type=float, default=3600.0, help="begin no case after so long (default: 3600)")
    options = parser.parse_args()
    chosen = [case for case in cases() if options.only in case.name]
    began, different = time.monotonic(), 0
    tried: defaultdict[str, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "world"
        make_world(here)
        for case in chosen:
            if time.monotonic() - began > options.within_s:
                break
            found = differences(case, here, options.steps)
            tried[case.method] += 1
            different += bool(found)
            print(f"{case.name}: {'the same' if not found else 'DIFFERENT'}", flush=True)
            for line in found:
                print(f"  {line[:300]}")
    print("\n| method | cases |\n|---|---|")
    for method, count in tried.items():
        print(f"| {method} | {count} |")
    left = len(chosen) - sum(tried.values())
    print(f"\n{sum(tried.values())} cases tried, {left} left out for want of time, {different} with a difference.")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(stoppable(main))
