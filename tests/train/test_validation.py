"""Pictures that are held out: looked at, never learnt; and what follows from their loss."""

import functools
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.library.data.held_out import held_out_keys, split
from sd_scripts.library.data.picture_data import PictureData, with_held_out
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.validation import check_validation, idle_validation
from sd_scripts.library.train.validation import Standing, timesteps_of, told
from sd_scripts.options.noise import NoiseOptions
from tests.train.tiny import make_trainer, options, tiny_data, train

EACH = {"validate_every_n_steps": 1}


@functools.cache
def pictures(count):
    """Noise that is the same in every training of a test."""
    return tiny_data(count, latents=False)


def divided(count=5, share=0.4, looked_at=True):
    """Pictures, some of them held out; or the others alone."""
    data = pictures(count)
    datasets = [replace(data.datasets[0], held_out_share=share)]
    learnt, held_out = split(data.pictures, datasets[0])
    return PictureData(datasets, learnt, held_out=PictureData(datasets, held_out) if looked_at else None)


def validations(recorder):
    return {event.step: event.loss for event in recorder.of("validation")}


def test_which_pictures_are_held_out_follows_from_their_names():
    keys = [f"/pictures/{i}.png" for i in range(50)]
    dataset = Dataset((Subset(),), held_out_share=0.2)
    chosen = held_out_keys(keys, dataset)
    assert len(chosen) == 10
    assert {key.replace("/pictures", "C:\\other") for key in chosen} == held_out_keys(
        [key.replace("/pictures", "C:\\other") for key in keys], dataset
    )
    # One more picture changes one place at most.
    assert len(chosen - held_out_keys([*keys, "/pictures/new.png"], dataset)) <= 1
    assert chosen != held_out_keys(keys, replace(dataset, held_out_seed=1))
    assert held_out_keys(keys, replace(dataset, held_out_share=0.001)) and not held_out_keys(keys, Dataset((Subset(),)))
    with pytest.raises(BadOption, match="of 50 pictures none would be left to learn"):
        held_out_keys(keys, replace(dataset, held_out_share=0.99))


def test_they_are_shown_as_they_are():
    data = tiny_data(4)
    lively = replace(data.pictures[0].subset, repeats=9)
    lively = replace(lively, captions=replace(lively.captions, shuffle=True, dropout_rate=0.5))
    lively = replace(lively, pictures=replace(lively.pictures, flip_aug=True, random_crop=True))
    own = [replace(picture, subset=lively, repeats=9) for picture in data.pictures]
    learnt, held_out = split(own, replace(data.datasets[0], held_out_share=0.3))
    assert [picture.repeats for picture in learnt] == [9] * 3
    (one,) = held_out
    assert one.repeats == 1 and not one.subset.captions.changing and one.subset.captions.dropout_rate == 0
    assert not one.subset.pictures.changing and not one.subset.pictures.flip_aug


def test_looking_changes_nothing_and_nothing_looked_at_is_learnt(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, plain = train(tmp_path / "a", data=divided(looked_at=False), max_train_epochs=2)
    trainer, looking = train(tmp_path / "b", data=divided(), max_train_epochs=2)
    assert looking.losses == plain.losses
    # After each epoch, where nothing else is asked for.
    assert list(validations(looking)) == [3, 6]
    learnt, held_out = ({image.key for image in data.images} for data in with_held_out(trainer.data))
    assert len(learnt) == 3 and len(held_out) == 2 and not learnt & held_out
    assert "Validation after step 3: loss" in looking.said


def test_each_look_sees_the_same(tmp_path):
    _, recorder = train(tmp_path, data=divided(), learning_rate=0.0, max_train_steps=3, **EACH)
    assert len(set(validations(recorder).values())) == 1
    _, cached = train(tmp_path, data=divided(), learning_rate=0.0, max_train_steps=1, cache_latents=True)
    # The sample of the VAE is another one: its lot belongs to the cache.
    assert validations(cached)[1] == pytest.approx(validations(recorder)[1], rel=0.1)


def test_batches_do_not_matter(tmp_path):
    values = {"max_train_steps": 1, "learning_rate": 0.0}
    _, ones = train(tmp_path, data=divided(8, 0.5), **values)
    _, fours = train(tmp_path, data=divided(8, 0.5), train_batch_size=4, **values)
    _, fewer = train(tmp_path, data=divided(8, 0.5), max_validation_steps=2, **values)
    assert validations(ones)[1] == pytest.approx(validations(fours)[1], rel=1e-5)
    assert validations(fewer)[1] != pytest.approx(validations(ones)[1], rel=1e-5)


def test_the_best_is_kept_and_training_ends_early(tmp_path):
    values = {"max_train_steps": 30, "learning_rate": 0.02, "save_every_n_steps": 1, "early_stop": 3, "keep_best": True}
    _, recorder = train(tmp_path, data=divided(), **values, **EACH)
    found = validations(recorder)
    best = min(found, key=found.get)
    assert max(found) == best + 3 < 30
    kept, same = (load_file(tmp_path / "out" / f"X{name}.safetensors") for name in ("-best", f"-step{best:08d}"))
    assert all(torch.equal(kept[name], tensor) for name, tensor in same.items())
    assert (tmp_path / "out" / "X.safetensors").is_file()
    assert f"Ended early, after step {best + 3}" in recorder.said


def test_a_resumed_training_knows_the_lowest_loss(tmp_path):
    values = {"max_train_steps": 6, "save_state": True, "save_every_n_steps": 3, "keep_best": True, **EACH}
    whole, recorder = train(tmp_path, data=divided(), **values)
    state = str(tmp_path / "out" / "X-step00000003-state")
    resumed, again = train(tmp_path, data=divided(), **values, resume=state)
    assert resumed.standing == whole.standing
    assert {step: loss for step, loss in validations(recorder).items() if step > 3} == validations(again)


def test_standings():
    standing = Standing().after(0.5, 10)
    assert standing == Standing(0.5, 10, 0)
    assert told(0.5, 10, standing).endswith("loss 0.5000, the lowest so far.")
    worse = standing.after(0.5, 20).after(0.7, 30)
    assert worse == Standing(0.5, 10, 2)
    assert told(0.7, 30, worse) == "Validation after step 30: loss 0.7000; the lowest was 0.5000 after step 10."
    assert timesteps_of(NoiseOptions()) == [200, 400, 600, 800]
    assert timesteps_of(NoiseOptions(min_timestep=100, max_timestep=200)) == [120, 140, 160, 180]


@pytest.mark.parametrize(
    ("values", "option", "says"),
    [
        ({"keep_best": True}, "keep_best", "add --validation_split"),
        ({"early_stop": 2}, "early_stop", "add --validation_split"),
        ({"validation_split": 0.1, "dataset_class": "a.B"}, "validation_split", "is for pictures"),
        ({"validation_split": 0.1, "deepspeed": True, "zero_stage": 3}, "validation_split", "divides the weights"),
        ({"ema_decay": 1.0}, "ema_decay", "Use 0.999"),
        ({"ema_decay": 0.9, "deepspeed": True}, "ema_decay", "hold parts of the weights"),
        ({"ema_decay": 0.9, "optimizer_type": "AdamWScheduleFree"}, "ema_decay", "an average of the weights by itself"),
    ],
)
def test_mistakes(tmp_path, values, option, says):
    with pytest.raises(BadOption, match=says) as caught:
        check_validation(options(tmp_path, **values))
    assert caught.value.option == option


def test_idle_options_are_told(tmp_path):
    idle = {"validation_seed": 1, "validate_every_n_steps": 1, "max_validation_steps": 1, "ema_on_cpu": True}
    assert {notice.option for notice in idle_validation(options(tmp_path, **idle))} == set(idle)
    assert not list(idle_validation(options(tmp_path, validation_split=0.5, **EACH)))


def test_a_stop_between_looks_goes_on_as_ever(tmp_path):
    trainer, recorder = make_trainer(tmp_path, data=divided(), max_train_steps=4, validate_every_n_steps=3)
    trainer.run()
    # Always at the end too.
    assert list(validations(recorder)) == [3, 4]
