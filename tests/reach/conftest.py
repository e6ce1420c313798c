"""One server for the tests of who can use the page, and how: with keys alone, read out, small, dark, from afar."""

import math
import time
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser

from kohya_gui.runs.store import Outcome
from sd_scripts.library import events
from tests.page import Gui, Tab, new_tab, served


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with served(tmp_path_factory.mktemp("reach")) as gui:
        yield gui


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        yield tab


@pytest.fixture(scope="module")
def runs(gui: Gui) -> dict[str, str]:
    """Runs of every kind, by name: two that are done, one that failed, one that runs, one that waits for it."""
    ids = {"slow": trained(gui, "slow", 1e-6), "fast": trained(gui, "fast", 4e-6)}
    ids["broken"] = trained(gui, "broken", 1e-2, failed=True)
    ids["busy"] = gui.queue_fake("busy", "--steps", "100000", "--step_s", "0.2")
    ids["patient"] = gui.queue_fake("patient")
    return ids


def trained(gui: Gui, name: str, rate: float, failed: bool = False) -> str:
    """A training of the past: losses, two samples, a saved file, a log. Its id."""
    steps = 40
    values = {"learning_rate": rate, "max_train_steps": steps, "output_name": name}
    told: list[events.Event] = [
        events.Metric(step=step, epoch=1, values={"loss": 0.1 + math.exp(-step / 9), "lr": rate})
        for step in range(1, steps + 1)
    ]
    for step in (20, steps):
        path = gui.work / f"{name}-{step}.png"
        Image.new("RGB", (64, 64), (step, 80, 160)).save(path)
        told.append(events.Sample(path=str(path), prompt="a meadow", index=0, step=step, epoch=1))
    model = str(gui.work / f"{name}.safetensors")
    told.append(events.Saved(path=model, kind="model", size_bytes=2_000_000, step=steps))
    sentence = "The loss is not a number." if failed else None
    state = "failed" if failed else "done"
    outcome = Outcome(state=state, started=time.time() - 60, ended=time.time(), sentence=sentence)  # type: ignore[arg-type]
    log = "".join(f"step {i}\n" for i in range(steps)) + "Error: no number\n" * failed
    return gui.past_training(name, told, outcome, values, log)
