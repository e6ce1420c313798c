"""The benchmark of a training step: it runs, and its bare loop computes what the training does."""

import json
import statistics

import pytest
import torch

from benchmarks.rows import Given
from benchmarks.step import TOLD_STEPS, measure, told_s
from benchmarks.step_cases import EVENTS, Bare, Case, ready_batch, turns
from sd_scripts.library.events import STEP_PARTS
from tests.train.conftest import fresh_accelerator

__all__ = ["fresh_accelerator"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return Given("cpu", quick=True, rounds=1, room=tmp_path_factory.mktemp("room"))


def test_every_kind_of_row_is_there(given):
    rows = {row.what: row for row in measure(given)}
    kept, read, own = (next(row for what, row in rows.items() if part in what) for part in ("latents", "CPU", "own"))
    assert kept.bare and read.bare and own.unit == "ms" and read.goal
    assert own.note == "of 1.8 ms, for 60 ms a step"
    parts = [rows[f"... of it {part}"].ours for part in ("data", "forward", "backward", "optimizer")]
    assert min(parts) > 0


def test_the_parts_of_a_step_are_all_of_it(given):
    with turns(Case("sd1", "lora", size="tiny"), given) as turn:
        for _ in range(TOLD_STEPS):
            turn.ours()
        told = told_s(given)
    lines = (given.room / EVENTS).read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    steps = [event["values"] for event in events if event["event"] == "metric"]
    for values in steps:
        assert sum(values[part] for part in STEP_PARTS) == pytest.approx(values["step_s"], rel=1e-6)
    assert told == {part: statistics.median(values[part] for values in steps[-TOLD_STEPS:]) for part in STEP_PARTS}


def test_the_bare_loop_has_the_loss_of_the_training(given):
    with turns(Case("sd1", "lora", "trained", size="tiny"), given) as turn:
        torch.manual_seed(0)
        bare, batch = Bare(turn.trainer, "trained").loss(), ready_batch(turn.trainer)
        assert torch.allclose(bare, turn.trainer.learner.losses(batch).mean(), rtol=1e-6)
