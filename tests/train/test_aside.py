"""Models and states that are written while training goes on."""

import errno
import hashlib

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.library.errors import TrainingFailed
from sd_scripts.library.io import checkpoints
from sd_scripts.library.io.drafts import Draft, Held, HeldValue, Saved
from sd_scripts.library.train import aside, outputs
from tests.train.tiny import make_trainer, train

VALUES = {"max_train_steps": 2, "save_every_n_steps": 1, "save_state": True, "ema_decay": 0.9}


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    """How much is free is no matter of the machine's other work."""
    free = {"bytes": 1 << 60}
    monkeypatch.setattr(aside, "free_ram_bytes", lambda: free["bytes"])
    return free


def digests(folder):
    files = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".pt") and path.is_file()]
    return {str(path.relative_to(folder)): tensors_of(path) for path in files}


def tensors_of(path):
    """What a file holds, whatever its header says of the time."""
    if path.suffix == ".pt":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return {name: tensor.sum().item() for name, tensor in load_file(path).items()}


def test_what_is_written_aside_is_what_would_have_been_written_at_once(tmp_path, monkeypatch, memory):
    for folder in ("aside", "once"):
        (tmp_path / folder).mkdir()
    begun = []
    begin = aside.Aside.begin
    monkeypatch.setattr(aside.Aside, "begin", lambda self, attempts: (begun.append(1), begin(self, attempts)))
    _, told = train(tmp_path / "aside", **VALUES)
    assert len(begun) == 2
    memory["bytes"] = 0
    _, at_once = train(tmp_path / "once", **VALUES)
    assert len(begun) == 2, "memory did not allow it"
    assert digests(tmp_path / "aside" / "out") == digests(tmp_path / "once" / "out")
    places = [[(event.kind, event.step) for event in one.of("saved")] for one in (told, at_once)]
    assert places[0] == places[1] and told.losses == at_once.losses
    for event in told.of("saved"):
        if event.kind == "model":
            with open(event.path, "rb") as file:
                assert event.sha256 == hashlib.file_digest(file, "sha256").hexdigest()


def test_a_full_disk_aside_pauses_and_the_copy_is_written_again(tmp_path, monkeypatch):
    write, failures = checkpoints.write_tensors, []

    def full_once(path, tensors, metadata, dtypes):
        if not failures and "ss_steps" in metadata:
            failures.append({name: tensor.clone() for name, tensor in tensors.items()})
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, tensors, metadata, dtypes)

    monkeypatch.setattr(checkpoints, "write_tensors", full_once)
    monkeypatch.setattr("sd_scripts.library.pausing.TRY_FULL_EVERY_S", 0.0)
    _, recorder = train(tmp_path, max_train_steps=3, save_every_n_steps=2)
    assert len(recorder.of("paused")) == len(recorder.of("goes_on")) == len(failures) == 1
    written = load_file(tmp_path / "out" / "X-step00000002.safetensors")
    assert all(torch.equal(written[name], tensor) for name, tensor in failures[0].items())


def test_an_error_of_training_waits_for_what_is_written(tmp_path, monkeypatch):
    trainer, recorder = make_trainer(tmp_path, max_train_steps=3, save_every_n_steps=1)
    monkeypatch.setattr(outputs.Outputs, "settle", lambda self, wait=True: None)
    steps = trainer.steps()
    next(steps)
    with pytest.raises(TrainingFailed):
        steps.throw(TrainingFailed("It ended."))
    assert [event.step for event in recorder.of("saved")] == [1]
    assert (tmp_path / "out" / "X-step00000001.safetensors").is_file()


def test_a_draft_that_is_kept_does_not_change():
    weight, memory = torch.ones(3), {"state": {0: {"avg": torch.ones(2), "step": 1}}, "groups": [{"lr": 0.1}]}
    held, value = Held({"a": weight}, {"a": torch.float16}), HeldValue(memory)
    draft = Draft([held, value], lambda path: Saved(path))
    assert draft.size_bytes == 3 * 2 + 2 * 4
    draft.keep()
    weight.zero_()
    memory["state"][0]["avg"].zero_()
    memory["groups"][0]["lr"] = 0.2
    assert held.tensors["a"].dtype == torch.float16 and held.tensors["a"].sum() == 3
    assert value.value["state"][0]["avg"].sum() == 2 and value.value["groups"][0]["lr"] == 0.1


def test_a_copy_that_memory_does_not_hold_is_not_made(monkeypatch, memory):
    held = Held({"a": torch.ones(3)})
    draft = Draft([held], lambda path: Saved(path))
    memory["bytes"] = 12 + aside.MARGIN_BYTES
    assert aside.keep(draft)

    def short(own):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes.")

    monkeypatch.setattr(held, "_on_cpu", short)
    assert not aside.keep(draft)
    memory["bytes"] = 11 + aside.MARGIN_BYTES
    assert not aside.keep(draft)


def test_an_error_aside_that_no_place_is_to_blame_for_ends_training_at_its_next_step(tmp_path, monkeypatch):
    write = checkpoints.write_tensors

    def broken(path, tensors, metadata, dtypes):
        if "ss_steps" in metadata:
            raise ValueError("no tensor")
        return write(path, tensors, metadata, dtypes)

    monkeypatch.setattr(checkpoints, "write_tensors", broken)
    trainer, recorder = make_trainer(tmp_path, max_train_steps=50, save_every_n_steps=2)
    # However slow the machine is, the second save waits for the first.
    with pytest.raises(ValueError, match="no tensor"):
        trainer.run()
    assert 2 <= len(recorder.losses) <= 4 and not recorder.of("saved")
    assert not list((tmp_path / "out").iterdir())
