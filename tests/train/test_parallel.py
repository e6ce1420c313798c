"""Several processes: what is asked of them arrives, and they train the same."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from sd_scripts.library.train.idle import idle_alone
from sd_scripts.library.train.notices import notices
from sd_scripts.library.train.parallel import accelerator_arguments
from sd_scripts.library.train.state_facts import read_facts
from tests.train.tiny import options, tiny_data, train

ROOT = Path(__file__).parents[2]
ASKED = {"ddp_timeout": 7, "ddp_gradient_as_bucket_view": True, "ddp_static_graph": True}
LENGTH = {"gradient_accumulation_steps": 2, "max_train_steps": 3, "optimizer_type": "torch.optim.SGD"}

PROBE = """
import json, sys
import torch
from tests.train.test_parallel import tiny_parts
from tests.train.tiny import train

folder, values = sys.argv[1], json.loads(sys.argv[2])
trainer, recorder = train(folder, data=tiny_parts(), text=True, **values)
wrapped, group = trainer.learner._predictor, torch.distributed.group.WORLD
told = {
    "timeout_s": group._get_backend(torch.device("cpu")).options._timeout.total_seconds(),
    "gradient_as_bucket_view": wrapped.gradient_as_bucket_view,
    "static_graph": wrapped.static_graph,
    "losses": recorder.losses,
    "validations": [event.loss for event in recorder.of("validation")],
}
if trainer.main:
    print("told", json.dumps(told))
torch.distributed.destroy_process_group()
"""


def tiny_parts():
    """Four pictures to learn, and three to look at, which two processes cannot share evenly."""
    data = tiny_data(4, side_px=128)
    data.held_out = tiny_data(3, side_px=128)
    return data


def told(folder, **values):
    """What two processes say of themselves."""
    (folder / "probe.py").write_text(PROBE)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launch, str(folder / "probe.py"), str(folder), json.dumps(values)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("told "))
    return json.loads(line.removeprefix("told "))


def test_what_is_asked_of_processes_arrives_and_they_train_the_same(tmp_path):
    asked = told(tmp_path, **LENGTH, **ASKED, save_state=True, save_every_n_steps=2)
    assert asked["timeout_s"] == 420.0
    assert asked["gradient_as_bucket_view"] and asked["static_graph"]
    _, one = train(tmp_path, data=tiny_parts(), text=True, train_batch_size=2, **LENGTH)
    assert asked["losses"] == pytest.approx(one.losses, rel=1e-5)
    assert asked["validations"] == pytest.approx([event.loss for event in one.of("validation")], rel=1e-4)
    assert len(asked["validations"]) == 3
    # A state of both goes on in one, whose batch is as large as that of both.
    state = str(tmp_path / "out" / "X-step00000002-state")
    _, back = train(tmp_path, data=tiny_parts(), text=True, train_batch_size=2, resume=state, **LENGTH)
    assert back.losses == pytest.approx(one.losses[2:], rel=1e-5)
    assert "its epoch begins anew" not in back.said
    assert read_facts(state).options["train_batch_size"] == 2


def test_what_accelerate_is_made_with(tmp_path):
    exchange, group = accelerator_arguments(options(tmp_path, clip_skip=2, **ASKED))["kwargs_handlers"]
    given = dict.fromkeys(("find_unused_parameters", "gradient_as_bucket_view", "static_graph"), True)
    assert exchange.to_kwargs() == given
    assert group.timeout == timedelta(minutes=7)
    (exchange,) = accelerator_arguments(options(tmp_path))["kwargs_handlers"]
    assert exchange.to_kwargs() == {}


@pytest.mark.parametrize("option", ASKED)
def test_one_process_is_told_that_it_is_one(tmp_path, option):
    given = options(tmp_path, **{option: ASKED[option]})
    assert list(notices(given, has_gpu=False)) == [f"--{option} has no effect: there is one process."]
    assert list(idle_alone(given.parallel, 2)) == []
