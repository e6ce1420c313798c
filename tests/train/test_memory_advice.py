"""Memory that runs out: the three settings that help most, in order; and a step that is done again with less."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sd_scripts.library.errors import OutOfMemory
from sd_scripts.library.footprint.text import TextShape
from sd_scripts.library.footprint.training import Model, footprint
from sd_scripts.library.footprint.unet import Picture, UNetShape
from sd_scripts.library.shortage import explained, is_out_of_memory, is_out_of_ram
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.expected_memory import setting_of
from sd_scripts.library.train.memory_advice import Shortage, remedies
from sd_scripts.library.train.smaller import parts_of
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_network import TrainNetworkOptions
from tests.train.tiny import Recorder, make_trainer, options, tiny_data, train, weights

ROOT = Path(__file__).parents[2]
# Stable Diffusion 1.5: numbers of the U-Net, the text encoder and the VAE.
UNET, TEXT, VAE = 860_000_000, 123_000_000, 84_000_000
SHAPE = UNetShape((320, 640, 1280, 1280), (1, 1, 1, 0), (8, 8, 8, 8), 2, 768, False)
SD1 = Model(SHAPE, (TextShape(768, 12, 3072, 12, 49408, True),), UNET, (TEXT,), VAE)


def setting(given, pictures=1):
    """Pictures of 512 x 512 on a GPU."""
    return setting_of(given, SD1, (512, 512), pictures, on_cpu=False)


def first_three(given, pictures=1):
    return [remedy.words for remedy in remedies(setting(given, pictures), given)[:3]]


def network(folder, **values):
    return from_values(TrainNetworkOptions, {"output_dir": str(folder), "network_module": "networks.lora"} | values)


def test_a_whole_model_has_its_optimizer_and_its_gradients_to_lose(tmp_path):
    given = options(tmp_path, train_batch_size=1)
    assert first_three(given) == ["--optimizer_type AdamW8bit", "--fused_backward_pass", "a smaller --resolution"]
    freed = {remedy.words: remedy.frees for remedy in remedies(setting(given), given)}
    # Of eight bytes for each weight six go, but for the float32 that 256 of them share.
    assert freed["--optimizer_type AdamW8bit"] == pytest.approx(UNET * (6 - 2 * 4 / 256))
    assert 0 < freed["--fused_backward_pass"] < UNET * 4
    now = setting(given)
    assert freed["--gradient_checkpointing"] == footprint(now).total - footprint(replace(now, recomputes=True)).total


def test_what_is_done_already_is_not_advised(tmp_path):
    given = options(tmp_path, optimizer_type="AdaFactor", fused_backward_pass=True, gradient_checkpointing=True)
    # bf16 would cost more than it frees: what autocast has narrowed lies beside the weights.
    assert first_three(given) == ["a smaller --resolution"]
    half = options(tmp_path, optimizer_type="AdamW8bit", mixed_precision="bf16", gradient_checkpointing=True)
    assert first_three(half)[:2] == ["--full_bf16", "--fused_backward_pass"]


def test_large_batches_count_for_more_than_the_optimizer(tmp_path):
    given = options(tmp_path, train_batch_size=8, gradient_accumulation_steps=2)
    asked = first_three(given, 8)
    assert asked[:2] == ["--train_batch_size 1 with --gradient_accumulation_steps 16", "--gradient_checkpointing"]


def test_beside_a_frozen_model_what_is_looked_at_counts(tmp_path):
    asked = first_three(network(tmp_path), 2)
    assert asked == [
        "--mixed_precision bf16",
        "--gradient_checkpointing",
        "--train_batch_size 1 with --gradient_accumulation_steps 2",
    ]
    done = network(tmp_path, mixed_precision="bf16", gradient_checkpointing=True)
    assert first_three(done)[:2] == ["--fp8_base", "a smaller --resolution"]
    assert "--optimizer_type AdamW8bit" not in first_three(network(tmp_path))


def test_the_sentence_knows_where_memory_ran_out(tmp_path):
    recorder = Recorder()
    given = options(tmp_path, vae_batch_size=4, cache_latents=True)
    shortage = Shortage(given, recorder.report, Place(12), setting(given, 2))

    def told():
        with pytest.raises(OutOfMemory) as caught, shortage.explained():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return str(caught.value)

    assert told() == (
        "Memory ran out after 12 steps, with batches of 2. What helps most: --optimizer_type AdamW8bit (about 5.1 GB), "
        "--fused_backward_pass (about 0.7 GB), --gradient_checkpointing (about 0.6 GB)."
    )
    samples = pytest.raises(OutOfMemory, match="while samples were drawn, after 12 steps. What helps most: smaller --w")
    with samples, shortage.explained(), shortage.while_drawing():
        raise MemoryError
    shortage.drawing = False
    recorder.report.phase("cache_latents")
    assert told().startswith("Memory ran out while latents were made. What helps most: --vae_batch_size 1, --mixed_pre")
    with pytest.raises(RuntimeError, match="another fault"), shortage.explained():
        raise RuntimeError("another fault")


def test_the_figures_that_are_measured(tmp_path):
    trainer, _ = make_trainer(tmp_path, train_batch_size=4)
    trainer._prepare()
    found = trainer.shortage.setting
    assert footprint(found).numbers == sum(p.numel() for p in trainer.family.unet.parameters())
    assert found.model.text_numbers == (sum(p.numel() for p in trainer.family.text_encoder.parameters()),)
    assert found.picture == Picture(4, 8, 8)


def test_words_of_libraries_about_memory():
    says = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
    assert is_out_of_memory(RuntimeError(says)) and is_out_of_ram(RuntimeError(says))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory.")) and not is_out_of_ram(RuntimeError("CUDA"))
    with pytest.raises(cv2.error) as refused:
        cv2.resize(np.zeros((1, 1, 3), np.uint8), (2_000_000_000, 1_000_000))
    assert is_out_of_memory(refused.value) and is_out_of_ram(refused.value)
    assert is_out_of_memory(MemoryError()) and not is_out_of_memory(RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    told = str(explained(caught.value, {"batch_size": 8, "max_data_loader_n_workers": 0, "lowram": True}))
    assert told.startswith(
        "Memory ran out in the machine's RAM. What helps most: --batch_size 1, other programs closed,"
    )


def test_a_batch_in_parts_is_the_batch(tmp_path):
    trainer, _ = make_trainer(tmp_path, train_batch_size=4, max_train_steps=1)
    seen = []
    trainer._prepare()
    step = trainer.learner.step
    trainer.learner.step = lambda batches, *rest: seen.append(batches[0]) or step(batches, *rest)
    list(trainer._train())
    (batch,) = seen
    parts = list(parts_of(batch, 3))
    assert [len(part.images) for part in parts] == [3, 1] == [part.count for part in parts]
    assert [image for part in parts for image in part.images] == batch.images
    assert torch.equal(torch.cat([part.latents_BCHW for part in parts]), batch.latents_BCHW)
    assert sum((part.captions for part in parts), []) == batch.captions


CHILD = """
import json, resource, sys
from pathlib import Path
import torch
from accelerate.state import AcceleratorState
from sd_scripts.library.errors import OutOfMemory
from sd_scripts.library.train.trainer import Trainer
from tests.train.tiny import make_trainer, tiny_data

# oneDNN compiles for each shape, and may not survive it when memory is short.
torch.backends.mkldnn.enabled = False
folder, more_mib, values = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
after = Trainer._after_step

def limit(more_bytes):
    resource.setrlimit(resource.RLIMIT_AS, (more_bytes, resource.RLIM_INFINITY))

def limited(self, ended):
    after(self, ended)
    if self.place.step == 1:
        limit(int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (more_mib << 20))

Trainer._after_step = limited
told = {}
for answer in ("retry", "stop"):
    trainer, recorder = make_trainer(folder, data=tiny_data(4, side_px=256), on_oom=answer, **values)
    try:
        trainer.run()
        torch.save(trainer.family.unet.state_dict(), folder + "/weights.pt")
    except OutOfMemory as error:
        told[answer] = str(error)
    limit(resource.RLIM_INFINITY)
    if answer == "retry":
        told |= {"losses": recorder.losses, "notices": [event.text for event in recorder.of("notice")]}
    AcceleratorState._reset_state(True)
print("told", json.dumps(told))
"""
RETRY = {"train_batch_size": 4, "max_train_steps": 3, "optimizer_type": "torch.optim.SGD", "learning_rate": 0.1}
MORE_MIB = 34
"""Too little for four pictures at once, with what is kept of them or recomputed; enough for two."""


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux limits a process's memory so.")
def test_a_step_is_done_again_with_less_memory_and_learns_the_same(tmp_path):
    # Memory that is freed goes back to the system, as the limit counts what is mapped.
    own = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(MORE_MIB), json.dumps(RETRY)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("told "))[5:])
    same = "--train_batch_size 2 and 2 times the --gradient_accumulation_steps"
    again = "Memory ran out at step 2. The step is done again, from here on as with"
    assert told["notices"] == [f"{again} --gradient_checkpointing.", f"{again} {same}."]
    assert told["stop"].startswith("Memory ran out after 1 step, with batches of 4. What helps most: --")
    trainer, whole = train(tmp_path, data=tiny_data(4, side_px=256), **RETRY)
    assert told["losses"] == pytest.approx(whole.losses, rel=1e-5)
    ours = torch.load(tmp_path / "weights.pt")
    for name, tensor in weights(trainer.family.unet).items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-5)
