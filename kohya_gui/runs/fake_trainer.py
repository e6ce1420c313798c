"""Behaves like a training script without training anything: the worker's test double."""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sd_scripts.library import events  # noqa: E402

THEN = ("end", "fail", "starve", "die", "hang")
# How a step's time is shared out.
SHARES = {"data_s": 0.1, "forward_s": 0.3, "backward_s": 0.5, "optimizer_s": 0.1}


def emit(event: events.Event) -> None:
    """Tells the page, where there is one."""
    path = os.environ.get(events.EVENTS_VARIABLE)
    if path:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(events.to_line(event) + "\n")


def machine(step_s: float) -> dict[str, float]:
    """What a step took of time and memory."""
    parts = {part: share * step_s for part, share in SHARES.items()}
    memory = {"memory_bytes": 7e8, "gpu_bytes": 8.1e9, "gpu_peak_bytes": 9.6e9, "gpu_total_bytes": 12e9}
    return {"grad_norm": 0.3, "step_s": step_s, **parts, **memory}


def main(argv: list[str]) -> int:
    """Counts steps, with a falling loss; ends early when it is asked to, else as `--then` says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--step_s", type=float, default=0.02)
    parser.add_argument("--then", choices=THEN, default="end")
    parser.add_argument("--state", help="the state that it says it saved when it is stopped")
    parser.add_argument("--until", type=Path, help="it does not end before there is such a file")
    options = parser.parse_args(argv)
    requests = events.Requests.from_environment()
    print("Train", flush=True)
    emit(events.Phase(name="train", total=options.steps))
    for step in range(1, options.steps + 1):
        time.sleep(options.step_s)
        emit(events.Progress(phase="train", done=step, total=options.steps))
        emit(events.Metric(step=step, epoch=1, values={"loss": 1 / step, "lr": 1e-5, **machine(options.step_s)}))
        if "stop" in requests.take():
            if options.state:
                emit(events.Saved(path=options.state, kind="state", size_bytes=0, step=step))
            emit(events.Stopped(sentence="Stopped as asked."))
            return 0
    while options.until and not options.until.exists():
        time.sleep(0.05)
    if options.then == "fail":
        print("Error: The loss is not a number.", flush=True)
        emit(events.Failed(sentence="The loss is not a number."))
        return 1
    if options.then == "starve":
        print("torch.OutOfMemoryError: CUDA out of memory.", flush=True)
        emit(events.Failed(sentence="Memory ran out after 3 steps.", kind="memory"))
        return 1
    if options.then == "die":
        return 7
    if options.then == "hang":
        print("Waits.", flush=True)
    while options.then == "hang":
        time.sleep(0.1)
    print("Done.", flush=True)
    emit(events.Summary(counts={"steps": options.steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
