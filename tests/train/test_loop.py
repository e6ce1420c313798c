"""The loop: what moves, what stays, and that batches and windows give the same gradient."""

import contextlib

import pytest
import torch

from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import NothingUsable
from tests.train.tiny import make_trainer, tiny_data, tiny_family, train, weights


def same(before, module):
    return all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_loss_falls_on_one_picture(tmp_path):
    _, recorder = train(tmp_path, data=tiny_data(1), max_train_steps=45, learning_rate=3e-3)
    losses = recorder.losses
    assert sum(losses[-15:]) < 0.6 * sum(losses[:15])


@pytest.mark.parametrize("text", [False, True])
def test_what_is_asked_for_moves_and_the_rest_stays(tmp_path, text):
    family = tiny_family()
    before = {part: weights(getattr(family, part)) for part in ("unet", "text_encoder", "vae")}
    train(tmp_path, family, text=text)
    assert not same(before["unet"], family.unet)
    assert same(before["text_encoder"], family.text_encoder) != text
    assert same(before["vae"], family.vae)


def gradient(folder, text, **values):
    """The first gradient, as plain SGD's step."""
    family = tiny_family()
    parts = {"unet": family.unet, "text_encoder": family.text_encoder}
    before = {part: weights(module) for part, module in parts.items()}
    plain = {"optimizer_type": "torch.optim.SGD", "learning_rate": 1.0, "max_grad_norm": 0.0, "max_train_steps": 1}
    # Smaller pictures come down to one pixel, which group norm cannot normalize: its rounding errors would be large.
    train(folder, family, tiny_data(4, side_px=128), text, **plain, **values)
    return {
        f"{part}.{name}": before[part][name] - tensor
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


@pytest.mark.parametrize(("text", "batch_size"), [(False, 3), (True, 2)])
def test_one_batch_of_four_is_two_in_a_window(tmp_path, text, batch_size):
    whole = gradient(tmp_path, text, train_batch_size=4)
    parts = gradient(tmp_path, text, train_batch_size=batch_size, gradient_accumulation_steps=2)
    largest = max(tensor.abs().max() for tensor in whole.values())
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-4, atol=float(1e-5 * largest))
    assert any(name.startswith("text_encoder") and tensor.any() for name, tensor in whole.items()) == text


def test_windows_end_with_their_epoch(tmp_path):
    # Five pictures in batches of two: three batches an epoch, so windows of two and of one.
    _, recorder = train(
        tmp_path, data=tiny_data(5), train_batch_size=2, gradient_accumulation_steps=2, max_train_epochs=2
    )
    assert [(m.step, m.epoch) for m in recorder.of("metric")] == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_a_training_can_be_taken_step_by_step_and_left(tmp_path):
    trainer, recorder = make_trainer(tmp_path)
    with contextlib.closing(trainer.steps()) as steps:
        assert [next(steps).step for _ in range(2)] == [1, 2]
    assert len(recorder.losses) == 1 and not recorder.of("saved") and not recorder.of("summary")


def test_epochs_win_over_steps(tmp_path):
    trainer, _ = train(tmp_path, max_train_steps=1, max_train_epochs=2)
    assert trainer.place.step == 8


@pytest.mark.parametrize(
    "values", [{"mixed_precision": "bf16"}, {"gradient_checkpointing": True}, {"mem_eff_attn": True}]
)
def test_ways_to_compute(tmp_path, values):
    trainer, recorder = train(tmp_path, text=True, noise_offset=0.1, **values)
    assert len(recorder.losses) == 3


def test_checkpointing_changes_nothing(tmp_path):
    _, plain = train(tmp_path, text=True)
    _, checkpointed = train(tmp_path, text=True, gradient_checkpointing=True)
    assert plain.losses == pytest.approx(checkpointed.losses, rel=1e-5)


def test_cached_latents_are_made_once_and_do_not_depend_on_their_batch(tmp_path):
    one, two = tiny_data(3, latents=False), tiny_data(3, latents=False)
    for image, other in zip(one.images, two.images, strict=True):
        other.path.write_bytes(image.path.read_bytes())
    two.images[1].path.write_text("no picture")
    _, recorder = train(tmp_path, data=one, cache_latents=True, vae_batch_size=2)
    assert one.uncached() == [] and [event.name for event in recorder.of("phase")][0] == "cache_latents"
    _, recorder = train(tmp_path, data=two, cache_latents=True, vae_batch_size=1)
    assert [event.item for event in recorder.of("item_failed")] == ["picture1"]
    for image in (0, 2):
        first, second = (data.load(Item(image, 0), Moment(seed=1)).latents_CHW for data in (one, two))
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_pixels_go_through_the_vae(tmp_path):
    _, recorder = train(tmp_path, data=tiny_data(2, latents=False), max_train_steps=2)
    assert len(recorder.losses) == 2


def test_latents_that_are_no_numbers_are_left_out(tmp_path):
    data = tiny_data(4)
    data.put_latents(2, torch.full((4, 8, 8), float("nan")))
    _, recorder = train(tmp_path, data=data, train_batch_size=2, max_train_epochs=2)
    assert [event.item for event in recorder.of("item_failed")] == ["picture2"]
    assert len(recorder.losses) == 4


@pytest.mark.parametrize("steps", [2, 20])
def test_when_nothing_can_be_learnt(tmp_path, steps):
    data = tiny_data(3, latents=False)
    for image in data.images:
        image.path.write_text("no picture")
    with pytest.raises(NothingUsable, match="Not one picture of this epoch could be used"):
        train(tmp_path, data=data, max_train_steps=steps)
    with pytest.raises(NothingUsable, match="Not one picture can be used"):
        train(tmp_path, data=data, max_train_steps=steps, cache_latents=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("shuffle", "times"), [(False, 4), (True, 8)])
def test_a_frozen_encoder_reads_each_caption_once(tmp_path, shuffle, times):
    family, read = tiny_family(), []
    encode = family.encode_text
    family.encode_text = lambda tokens, settings: (read.append(tokens), encode(tokens, settings))[1]
    train(tmp_path, family, max_train_epochs=2, shuffle_caption=shuffle)
    assert len(read) == times
