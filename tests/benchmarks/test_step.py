"""The benchmark of a training step: it runs, and its bare loop computes what the training does."""

import pytest
import torch

from benchmarks.rows import Given
from benchmarks.step import measure
from benchmarks.step_cases import Bare, Case, ready_batch, turns
from tests.train.conftest import fresh_accelerator

__all__ = ["fresh_accelerator"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return Given("cpu", quick=True, rounds=1, room=tmp_path_factory.mktemp("room"))


def test_every_kind_of_row_is_there(given):
    rows = {row.what: row for row in measure(given)}
    kept, read, own = (next(row for what, row in rows.items() if part in what) for part in ("latents", "CPU", "own"))
    assert kept.bare and read.bare and own.unit == "ms" and read.goal and own.goal
    parts = [rows[f"... of it {part}"].ours for part in ("data", "forward", "backward", "optimizer")]
    assert min(parts) > 0 and sum(parts) == pytest.approx(kept.ours, rel=0.8)


def test_the_bare_loop_has_the_loss_of_the_training(given):
    with turns(Case("sd1", "lora", "trained", size="tiny"), given) as turn:
        torch.manual_seed(0)
        bare, batch = Bare(turn.trainer, "trained").loss(), ready_batch(turn.trainer)
        assert torch.allclose(bare, turn.trainer.learner.losses(batch).mean(), rtol=1e-6)
