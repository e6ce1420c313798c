"""How fast programs start: their help, the way from a command to the first step, and the reading of models.

Help is measured for every program there is. The way to the first step is split into the packages that are read in and
into what is done. Loading is measured beside the least that does it: modules that nothing filled take the tensors of a
file. On a GPU the models have their true size; on a CPU the SD1.5 that is loaded has.
"""

import json
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.alternating import alternating
from benchmarks.models import Family, Size, make_model
from benchmarks.photographs import noise_pictures
from benchmarks.processes import cost_of, run
from benchmarks.rows import Given, Row, at_most, stage
from benchmarks.stopping import REPOSITORY
from sd_scripts.library import events
from sd_scripts.library.io.checkpoints import open_checkpoint, write_ckpt

SCRIPTS = REPOSITORY / "sd_scripts"
TRAINERS: dict[str, tuple[Family, list[str]]] = {
    "fine_tune.py": ("sd1", []),
    "sdxl_train.py": ("sdxl", []),
    "train_network.py": ("sd1", ["--network_module=networks.lora", "--network_dim=4"]),
}
SIDE_PX, PICTURES = 128, 4
LOADINGS = 3
"""Pairs of processes that load a model: they are judged by processor seconds, which change little."""
SLOWEST = 8
"""Of so many programs help is asked for twice."""
PLAIN = "import torch, accelerate; from diffusers import AutoencoderKL, UNet2DConditionModel; "
PLAIN += "from transformers import CLIPTextModel, CLIPTokenizer"
OURS = "from sd_scripts.library.deferred import defer_unused; defer_unused(); " + PLAIN
HELD = "; import psutil; print(psutil.Process().memory_info().rss / 1e6)"
MB, GB = 1e6, 1e9


def measure(given: Given) -> list[Row]:
    """All figures."""
    size: Size = "tiny" if given.quick else "true" if given.device == "cuda" else "reduced"
    names: list[Family] = ["sd1"] if given.quick else ["sd1", "sdxl"]
    models = {name: make_model(given.room / f"{name}.safetensors", name, size, torch.float16) for name in names}
    rows = [*helps(given), *imports(given)]
    trainers = ["fine_tune.py"] if given.quick else list(TRAINERS)
    for script in trainers:
        family, more = TRAINERS[script]
        rows += first_step(script, models[family], more, given)
    if size == "reduced":
        # What is looked at once, whatever the size, would hide what a model's tensors take.
        models["sd1"] = make_model(given.room / "true.safetensors", "sd1", "true", torch.float16)
    return rows + loading(models, given)


# --- help


def helps(given: Given) -> list[Row]:
    """The slowest program's help, and the median of all."""
    found = programs()[:: 16 if given.quick else 1]
    costs = {path: [cost_of([path, "--help"])] for path in found}
    # The median of so many needs no second round.
    again = sorted(found, key=lambda path: costs[path][0].cpu_s)[-SLOWEST:]
    for path in [] if given.quick else again:
        costs[path].append(cost_of([path, "--help"]))
    # Processor time is what a program takes; the clock tells what others did meanwhile as well.
    taken_s = {path: statistics.median(cost.cpu_s for cost in each) for path, each in costs.items()}
    bare_s = statistics.median(cost_of(["-c", "import argparse"]).cpu_s for _ in range(5))
    slowest = max(taken_s, key=taken_s.__getitem__)
    named, middle_s = slowest.relative_to(REPOSITORY).as_posix(), statistics.median(taken_s.values())
    quickest_s = max(min(cost.wall_s for cost in costs[path]) for path in again)
    return [
        Row(f"--help, the slowest of {len(found)}", "CPU s", taken_s[slowest], bare_s, at_most(0.5, of="value"), named),
        Row("--help, the median", "CPU s", middle_s, bare_s, note="bare: import argparse"),
        Row("--help, the slowest by the clock, in its best round", "s", quickest_s),
    ]


def programs() -> list[Path]:
    """Every file that is a program; modules of networks are none."""
    found = [path for path in sorted(SCRIPTS.rglob("*.py")) if path.relative_to(SCRIPTS).parts[0] not in ("library",)]
    return [REPOSITORY / "gui.py", *(path for path in found if "__main__" in path.read_text(encoding="utf-8"))]


# --- packages


def imports(given: Given) -> list[Row]:
    """Reading in what every training needs, as trainers do it and as it is usually written."""
    rounds = 1 if given.quick else min(3, given.rounds)
    ours, bare, ratio = alternating(lambda: cost_of(["-c", OURS]).cpu_s, lambda: cost_of(["-c", PLAIN]).cpu_s, rounds)
    ours_mb, bare_mb = (float(cost_of(["-W", "ignore", "-c", code + HELD]).said.split()[-1]) for code in (OURS, PLAIN))
    note = "torch, diffusers, transformers, accelerate; bare: as they import each other"
    return [
        Row("reading in the packages", "CPU s", ours, bare, at_most(0.7), note, ratio),
        Row("... memory", "MB", ours_mb, bare_mb, at_most(0.8)),
    ]


# --- from a command to the first step


def first_step(script: str, model: Path, more: list[str], given: Given) -> list[Row]:
    """The time of a whole start, and its parts; medians by part."""
    runs = [_run(script, model, more, given) for _ in range(given.few_rounds)]
    whole_s = statistics.median(sum(run.values()) for run in runs)
    parts = {part: statistics.median(run.get(part, 0.0) for run in runs) for part in runs[0]}
    return [
        Row(f"{script}: from the command to the first step", "s", whole_s),
        *(Row(f"... {part}", "s", seconds) for part, seconds in parts.items()),
    ]


def _run(script: str, model: Path, more: list[str], given: Given) -> dict[str, float]:
    """Seconds by part of one start."""
    place = given.room / "run"
    place.mkdir(exist_ok=True)
    told, read = place / "events.jsonl", place / "imports.json"
    told.unlink(missing_ok=True)
    argv = ["-m", "benchmarks.timeline", str(read), str(SCRIPTS / script)]
    argv += [*_training(script, _pictures(given.room), place), f"--pretrained_model_name_or_path={model}", *more]
    given_environment = os.environ | {events.EVENTS_VARIABLE: str(told), "PYTHONPATH": str(REPOSITORY)}
    began = time.time()
    run(argv, env=given_environment)
    lines = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    return split(began, lines, json.loads(read.read_text(encoding="utf-8")))


def split(began: float, lines: list[dict[str, Any]], loads: list[tuple[str, float, float]]) -> dict[str, float]:
    """Seconds by part: packages as they are read in, wherever that was; and what was done besides in each phase."""
    marks = [("Python, options, checks", began)]
    marks += [(line["name"], line["time"]) for line in lines if line["event"] == "phase"]
    first = next(line["time"] for line in lines if line["event"] == "metric")
    parts: dict[str, float] = defaultdict(float)
    for name, when, own_s in loads:
        if when < first:
            parts[f"reading in {_package(name)}"] += own_s
    ends = [when for _, when in marks[1:]] + [first]
    for (name, start), end in zip(marks, ends, strict=True):
        end = min(end, first)
        if start < end:
            inside_s = sum(own_s for _, when, own_s in loads if start <= when < end)
            parts[NAMES.get(name, name)] += end - start - inside_s
    return dict(parts)


NAMES = {
    "load_model": "the model",
    "dataset": "pictures and texts are looked at",
    "cache_latents": "latents",
    "cache_texts": "texts encoded",
    "train": "the first step",
}
_NAMED = {"torch": "torch", "sd_scripts": "our own modules"}
_NAMED |= dict.fromkeys(("diffusers", "transformers", "accelerate"), "diffusers, transformers, accelerate")


def _package(name: str) -> str:
    return _NAMED.get(name.partition(".")[0], "all others")


def _training(script: str, pictures: Path, place: Path) -> list[str]:
    options = [f"--train_data_dir={pictures}", f"--output_dir={place}", "--output_name=trained"]
    options += [f"--resolution={SIDE_PX}", "--cache_latents", "--train_batch_size=1", "--max_train_steps=1", "--seed=1"]
    options += ["--max_data_loader_n_workers=0", "--learning_rate=1e-6", "--save_precision=fp16", "--sdpa"]
    if script in ("fine_tune.py", "sdxl_train.py"):
        return [*options, f"--in_json={pictures / 'metadata.json'}"]
    return [*options[1:], f"--train_data_dir={pictures.parent}"]


def _pictures(room: Path) -> Path:
    """A folder of pictures with their metadata."""
    folder = room / "data" / "1_thing"
    if not folder.exists():
        made = noise_pictures(folder, PICTURES, SIDE_PX)
        entries = {path.stem: {"caption": "a thing", "train_resolution": [SIDE_PX] * 2} for path in made}
        (folder / "metadata.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


# --- loading


def loading(models: dict[Family, Path], given: Given) -> list[Row]:
    """Processor seconds beside the bare way, and memory beside the model's own size."""
    rounds = 1 if given.quick else min(LOADINGS, given.rounds)
    rows = [row for family, model in models.items() for row in against_bare(family, model, given, rounds)]
    if given.quick:
        return rows
    for family, model in models.items():
        rows.append(memory(f"memory while loading {family}, fp16", "whole", model, given.device))
        rows.append(memory(f"... fp16 held as float32, {family}", "float32", model))
    wide = make_model(given.room / "wide.safetensors", "sd1", "reduced", torch.float32)
    rows.append(memory("... float32 held as bfloat16", "bfloat16", wide))
    old = given.room / "old.ckpt"
    write_ckpt(old, open_checkpoint(wide).read())
    rows.append(memory("... .ckpt", "whole", old, given.device))
    rows.append(memory("... .ckpt, float32 held as bfloat16", "bfloat16", old))
    return [*rows, *parts_alone(models)]


def against_bare(family: Family, model: Path, given: Given, rounds: int) -> list[Row]:
    """Loading for the second time, beside the same modules that take the file's tensors."""
    found: dict[str, list[dict[str, Any]]] = {"again": [], "bare": []}

    def cpu_s(way: str) -> float:
        found[way].append(load(way, model, given.device))
        return float(found[way][-1]["cpu_s"])

    ours, bare, ratio = alternating(lambda: cpu_s("again"), lambda: cpu_s("bare"), rounds)
    clock = [statistics.median(each["seconds"] for each in found[way]) for way in ("again", "bare")]
    note = "until every page was used; the bare way is told names and configurations"
    goal = at_most(1.1) if family == "sd1" or given.device == "cuda" else None
    return [
        Row(f"loading {family}, fp16, {model.stat().st_size / GB:.2f} GB", "CPU s", ours, bare, goal, note, ratio),
        Row("... by the clock", "s", *clock),
    ]


def memory(what: str, way: str, model: Path, device: str = "cpu") -> Row:
    """The most memory while a model is loaded, beside the greater of the file's and the module's size."""
    found = load(way, model, device)
    size_mb = max(found["bytes"], model.stat().st_size) / MB
    return Row(what, "MB", found["peak_bytes"] / MB, size_mb, at_most(1.1))


def parts_alone(models: dict[Family, Path]) -> list[Row]:
    """The VAE alone, and text encoders alone, beside the whole model; all of them read into RAM."""
    rows = []
    for family, model in models.items():
        whole = load("whole", model)
        for way, what in (("vae", "the VAE alone"), ("texts", "the text encoders alone")):
            found = load(way, model)
            peaks_mb = found["peak_bytes"] / MB, whole["peak_bytes"] / MB
            rows.append(Row(f"{what}, {family}: memory", "MB", *peaks_mb, at_most(0.5), "bare: the whole model"))
            rows.append(Row(f"{what}, {family}", "s", found["seconds"], whole["seconds"], note="bare: the whole model"))
    return rows


def load(way: str, model: Path, device: str = "cpu") -> dict[str, Any]:
    """One loading in a process of its own."""
    said = cost_of(["-W", "ignore", "-m", "benchmarks.loading", way, model, device]).said
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
