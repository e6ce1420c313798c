"""Several processes beside one: training, and a stage that shares a folder.

Each process has a GPU (--device cuda, two at least), or one core. A step of several shows so many times the pictures of
one process's, and a picture of a stage is beside that of one process divided by their number, so 1 is all that they
could give. There is a goal on GPUs alone: cores share the way to the memory, and whatever else the machine does.
"""

import json
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.alternating import alternating
from benchmarks.models import make_model
from benchmarks.photographs import noise_pictures
from benchmarks.processes import run
from benchmarks.rows import Given, Row, at_most, stage
from benchmarks.stopping import REPOSITORY

SCRIPTS = REPOSITORY / "sd_scripts"
ON_CPU = 2
"""Processes on a CPU, of one thread each."""
# Loading, first allocations and the choice of kernels lie in the first steps.
WARM_STEPS = 2
STEPS = {"quick": 4, "cpu": 7, "cuda": 30}
PICTURES = {"quick": 8, "cpu": 24, "cuda": 2000}
SIDE_PX = {"quick": 128, "cpu": 192, "cuda": 512}


def measure(given: Given) -> list[Row]:
    """Seconds of a step and of a picture, of several processes and of one; no rows where there is one GPU only."""
    count = _processes(given)
    if count < 2:
        print("Several processes need a GPU each, and only one can be used here: nothing is measured.\n", flush=True)
        return []
    kind = "quick" if given.quick else given.device
    size = {"quick": "tiny", "cpu": "reduced", "cuda": "true"}[kind]
    model = make_model(given.room / "model.safetensors", "sd1", size)  # type: ignore[arg-type]
    pictures = noise_pictures(given.room / "pictures", PICTURES[kind], SIDE_PX[kind])
    (given.room / "in.json").write_text(json.dumps({path.stem: {"caption": "a picture"} for path in pictures}))
    rounds = 1 if given.quick else min(given.rounds, 3)
    trained, made = partial(_train, given, model, kind), partial(_latents, given, model, kind)
    return [
        replace(row, goal=at_most(1.15) if given.device == "cuda" else None, note=f"{count} processes beside one")
        for row in (
            _row("full fine-tune, a step", "s", partial(trained, count), partial(trained, 1), rounds),
            _row("latents, a picture", "ms", partial(made, count), partial(made, 1), rounds),
        )
    ]


def _row(what: str, unit: str, ours: Callable[[], float], bare: Callable[[], float], rounds: int) -> Row:
    mine, its, ratio = alternating(ours, bare, rounds)
    return Row(what, unit, mine, its, measured_ratio=ratio)


def _processes(given: Given) -> int:
    if given.device == "cpu":
        return ON_CPU
    import torch

    return torch.cuda.device_count()


def _train(given: Given, model: Path, kind: str, processes: int) -> float:
    """Seconds of a step of one picture for each process."""
    words = [f"--pretrained_model_name_or_path={model}", "--train_data_dir=pictures", "--in_json=in.json",
             "--output_dir=out", "--output_name=x", f"--resolution={SIDE_PX[kind]}", "--cache_latents", "--seed=1",
             "--train_batch_size=1", f"--max_train_steps={STEPS[kind]}", "--optimizer_type=torch.optim.SGD",
             "--max_data_loader_n_workers=0", "--learning_rate=1e-6"]  # fmt: skip
    if given.device == "cuda":
        words.append("--mixed_precision=bf16")
    told = _told(given, "fine_tune.py", words, processes)
    steps_s = [event["values"]["step_s"] for event in told if event["event"] == "metric"]
    return statistics.median(steps_s[WARM_STEPS:])


def _latents(given: Given, model: Path, kind: str, processes: int) -> float:
    """Milliseconds of a picture, from the first one read to the last one written; of one process, its part of them."""
    words = ["pictures", "in.json", "out.json", str(model), f"--max_resolution={SIDE_PX[kind]}", "--batch_size=1",
             f"--min_bucket_reso={SIDE_PX[kind]}", "--max_data_loader_n_workers=0"]  # fmt: skip
    told = _told(given, "finetune/prepare_buckets_latents.py", words, processes)
    began = next(event["time"] for event in told if event["event"] == "phase" and event["name"] == "encode")
    seconds = next(event["time"] for event in told if event["event"] == "summary") - began
    return 1000 * seconds / PICTURES[kind] / (_processes(given) / processes)


def _told(given: Given, script: str, words: list[str], processes: int) -> list[dict[str, Any]]:
    """The events of a script. Errors: SystemExit, with what it said, where it fails."""
    launch: list[str] = []
    if processes > 1:
        launch = [str(SCRIPTS / "launch.py"), "--multi_gpu", f"--num_processes={processes}", "--num_machines=1",
                  "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]  # fmt: skip
    events = given.room / "events.jsonl"
    events.unlink(missing_ok=True)
    environment = os.environ | {"SD_SCRIPTS_EVENTS": str(events)}
    if given.device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    run([*launch, SCRIPTS / script, *words], given.room, environment)
    return [json.loads(line) for line in events.read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__, ("several", "one")))
