"""A run for measurements of the page: steps, log lines and samples, as steadily as a training makes them."""

import sys
import time
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from kohya_gui.runs.fake_trainer import emit, machine
from sd_scripts.library import events

STEP_S = 0.25
STEPS = 1_000_000
SAMPLE_EVERY_STEPS = 40
PROMPTS = 3


def main(folder: Path) -> None:
    """Four steps a second, three samples every ten seconds, until it is ended."""
    emit(events.Phase(name="train", total=STEPS))
    for step in count(1):
        time.sleep(STEP_S)
        emit(events.Progress(phase="train", done=step, total=STEPS, rate_per_s=1 / STEP_S))
        emit(events.Metric(step=step, epoch=1, values={"loss": 1 / step, "lr": 1e-5, **machine(STEP_S)}))
        print(f"step {step}: loss {1 / step:.5f}", flush=True)
        if step % SAMPLE_EVERY_STEPS == 0:
            draw(folder, step)


def draw(folder: Path, step: int) -> None:
    """A sample for each prompt."""
    for index in range(PROMPTS):
        path = folder / f"{step:07}_{index}.png"
        Image.effect_noise((256, 256), 80).save(path)
        emit(events.Sample(path=str(path), prompt=f"a meadow, number {index}", index=index, step=step, epoch=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
