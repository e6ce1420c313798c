"""Several processes: what is asked of them arrives, and they train as one with a batch as large as all of theirs."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch

from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.machine import check_machine
from sd_scripts.library.train.device import check_gpus
from sd_scripts.library.train.idle import idle_alone
from sd_scripts.library.train.notices import notices
from sd_scripts.library.train.parallel import accelerator_arguments
from sd_scripts.library.train.state_facts import read_facts
from tests.inversion.tiny import WORD, learn_word
from tests.networks.hypernetworks import train_hypernetwork
from tests.networks.tiny import train_network
from tests.train.tiny import options, tiny_data, train

ROOT = Path(__file__).parents[2]
ASKED = {"ddp_timeout": 7, "ddp_gradient_as_bucket_view": True, "ddp_static_graph": True}
SGD = {"optimizer_type": "torch.optim.SGD", "gradient_accumulation_steps": 2}
LENGTH = SGD | {"max_train_steps": 3}

# The same numbers are added in another order: float32 rounds by 6e-8, and a loss is the mean of some thousand of them.
SAME = 1e-5

PROBE = """
import json, sys
import torch
from tests.train.test_parallel import several, tiny_parts
from tests.train.tiny import train
from tests.train.waiting import with_pictures_gone, with_texts_refused

folder, values = sys.argv[1], json.loads(sys.argv[2])
trainer, recorder = train(folder, data=tiny_parts(), text=True, **values)
wrapped, group = trainer.learner._predictor, torch.distributed.group.WORLD
told = {
    "timeout_s": group._get_backend(torch.device("cpu")).options._timeout.total_seconds(),
    "gradient_as_bucket_view": wrapped.gradient_as_bucket_view,
    "static_graph": wrapped.static_graph,
    "losses": recorder.losses,
    "validations": [event.loss for event in recorder.of("validation")],
    "several": several(folder, batch_size=2),
    "gone": [with_pictures_gone(folder, cache_latents=cached) for cached in (False, True)],
    "refused": with_texts_refused(folder),
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


def mixed_data():
    """Five and three pictures of two sizes: batches of four leave one, of which a process gets none, and three."""
    subset = Subset(metadata_file="meta_lat.json")
    # Not smaller: of a single place in its deepest layer the tiny U-Net's normalisation makes noise.
    sizes_px = [(128, 128)] * 5 + [(192, 128)] * 3
    images = [TrainImage(f"{i}", Path(f"{i}.png"), f"{i} {WORD}", size) for i, size in enumerate(sizes_px)]
    data = PictureData([Dataset((subset,))], [Picture(image, 0, subset, 1) for image in images])
    generator = torch.Generator().manual_seed(7)
    for i, (width_px, height_px) in enumerate(sizes_px):
        data.put_latents(i, torch.randn(4, height_px // 8, width_px // 8, generator=generator) * 5)
    return data


KINDS = {
    "full": partial(train, text=True),
    "lora": partial(train_network, learning_rate=10.0),
    "inversion": partial(learn_word, learning_rate=0.1),
    "hypernetwork": partial(train_hypernetwork, learning_rate=0.1),
}


def several(folder, batch_size):
    """{kind of training: losses and norms of gradients in an epoch of the mixed data, by windows of two batches}."""
    from accelerate.state import AcceleratorState

    told = {}
    for kind, train_it in KINDS.items():
        AcceleratorState._reset_state(True)
        place = Path(folder) / kind
        place.mkdir(exist_ok=True)
        _, recorder = train_it(place, data=mixed_data(), train_batch_size=batch_size, max_train_steps=2, **SGD)
        told[kind] = recorder.losses, [event.values["grad_norm"] for event in recorder.of("metric")]
    return told


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """What two processes say of themselves; nobody tells them that they are to use the processor."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "probe.py").write_text(PROBE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("ACCELERATE_USE_CPU", None)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    values = LENGTH | ASKED | {"save_state": True, "save_every_n_steps": 2}
    command = [*launch, str(folder / "probe.py"), str(folder), json.dumps(values)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("told "))
    return json.loads(line.removeprefix("told ")), folder


def test_what_is_asked_of_processes_arrives_and_they_train_the_same(asked, tmp_path):
    told, folder = asked
    assert told["timeout_s"] == 420.0
    assert told["gradient_as_bucket_view"] and told["static_graph"]
    _, one = train(tmp_path, data=tiny_parts(), text=True, train_batch_size=2, **LENGTH)
    assert told["losses"] == pytest.approx(one.losses, rel=SAME)
    assert told["validations"] == pytest.approx([event.loss for event in one.of("validation")], rel=1e-4)
    assert len(told["validations"]) == 3
    # A state of both goes on in one, whose batch is as large as that of both.
    state = str(folder / "out" / "X-step00000002-state")
    _, back = train(tmp_path, data=tiny_parts(), text=True, train_batch_size=2, resume=state, **LENGTH)
    assert back.losses == pytest.approx(one.losses[2:], rel=SAME)
    assert "its epoch begins anew" not in back.said
    assert read_facts(state).options["train_batch_size"] == 2


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same of one process whose batch is twice as large."""
    return several(tmp_path_factory.mktemp("one"), batch_size=4)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_one_with_twice_the_batch(asked, alone, kind):
    (losses, norms), (losses_alone, norms_alone) = asked[0]["several"][kind], alone[kind]
    assert len(losses) == 2 and min(norms) > 0
    assert losses == pytest.approx(losses_alone, rel=SAME)
    assert norms == pytest.approx(norms_alone, rel=1e-4)


def test_all_wait_for_the_pictures_of_one(asked):
    """While training, and while latents are made before it. Each tells of its own wait."""
    for first, second in asked[0]["gone"]:
        assert first == [0, 2, 0]
        assert second[0] >= 1 and second[1:] == [2, 0]


def test_all_wait_where_one_cannot_write_an_encoded_caption(asked):
    told, files, tries = asked[0]["refused"]
    # Both were in the pause of the second one, whose two files came at its next try.
    assert told == [[1, 1, 0], [1, 1, 0]]
    assert files == 4 and tries == [2, 3]


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


@pytest.mark.parametrize("word", ["fsdp", "megatron_lm", "deepspeed"])
def test_what_only_the_launcher_is_told_is_refused(tmp_path, monkeypatch, word):
    monkeypatch.setenv(f"ACCELERATE_USE_{word.upper()}", "true")
    with pytest.raises(BadOption, match=f"accelerate launch --use_{word}: .* by --deepspeed alone") as refused:
        check_machine(options(tmp_path))
    assert refused.value.option == "deepspeed"


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    check_gpus()
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(BadOption, match="Process 3 on this machine: .* 2 can be used here"):
        check_gpus()
