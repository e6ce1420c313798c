"""Text encoders that stop being trained: what stays, what goes on. test_sdxl.py has several processes do it."""

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.machine import check_text_stop
from sd_scripts.library.train.idle import idle_text_stop
from sd_scripts.library.train.optimizing import rate_notices
from tests.networks.tiny_sdxl import train_sdxl_network
from tests.train.tiny import options, tiny_data, tiny_family, weights
from tests.train.tiny_db import db_options, train_db

STOP = {"stop_text_encoder_training": 2, "max_train_steps": 5, "save_state": True, "save_every_n_steps": 1}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Five steps, of which two train the text encoder: (folder, trainer, recorder, texts that were encoded)."""
    folder = tmp_path_factory.mktemp("stopped")
    family, read = tiny_family(), []
    encode = family.encode_text
    family.encode_text = lambda tokens, settings: (read.append(torch.is_grad_enabled()), encode(tokens, settings))[1]
    trainer, recorder = train_db(folder, family, tiny_data(2), **STEPS, **STOP)
    return folder, trainer, recorder, read


STEPS = {"learning_rate_te": 5e-4}


def part(folder, step, name):
    return load_file(folder / "out" / f"X-step{step:08d}-state" / f"{name}.safetensors")


def test_it_moves_until_then_and_the_rest_goes_on(stopped):
    folder, trainer, recorder, read = stopped
    one, two, three, four = (part(folder, step, "text_encoder") for step in (1, 2, 3, 4))
    name = next(name for name in one if name.endswith("fc1.weight"))
    assert not torch.equal(one[name], two[name])
    assert all(torch.equal(two[name], three[name]) and torch.equal(two[name], four[name]) for name in two)
    unet = [part(folder, step, "unet")["conv_in.weight"] for step in (2, 3, 4)]
    assert not torch.equal(unet[0], unet[1]) and not torch.equal(unet[1], unet[2])
    # Twice with gradients; from then on each of the two captions once.
    assert read == [True, True, False, False]
    assert not any(parameter.requires_grad for parameter in trainer.family.text_encoder.parameters())
    rates = [event.values.get("lr/text_encoder") for event in recorder.of("metric")]
    assert rates == [5e-4, 5e-4, None, None, None]


@pytest.mark.parametrize("step", [1, 2])
def test_what_is_gone_on_from_is_the_same(stopped, step, tmp_path):
    folder, trainer, recorder, _ = stopped
    family = tiny_family(seed=1)
    state = str(folder / "out" / f"X-step{step:08d}-state")
    _, again = train_db(tmp_path, family, tiny_data(2), **STEPS, **STOP, resume=state)
    assert again.losses == recorder.losses[step:]
    for name in ("unet", "text_encoder"):
        ends = weights(getattr(trainer.family, name))
        assert all(torch.equal(ends[key], tensor) for key, tensor in weights(getattr(family, name)).items())


@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps_are_no_training_at_all(tmp_path, steps):
    trainer, _ = train_db(tmp_path, stop_text_encoder_training=steps, max_train_steps=1)
    assert set(trainer.method.trained()) == {"unet"}
    assert not train_network_texts(tmp_path, steps)


def train_network_texts(folder, steps):
    trainer, _ = train_sdxl_network(folder, stop_text_encoder_training=steps, max_train_steps=1)
    return [name for name in trainer.method.trained() if name != "unet"]


def test_what_stays_is_the_average_where_one_is_saved(tmp_path):
    given = STOP | {"ema_decay": 0.5, "learning_rate": 1e-2}
    trainer, recorder = train_db(tmp_path, data=tiny_data(2), **given)
    stayed = weights(trainer.family.text_encoder)
    with trainer.learner.averaged():
        assert all(torch.equal(stayed[name], one) for name, one in weights(trainer.family.text_encoder).items())
    trained = part(tmp_path, 2, "text_encoder")
    assert any(not torch.equal(stayed[name], trained[name]) for name in trained)
    state = str(tmp_path / "out" / "X-step00000002-state")
    _, again = train_db(tmp_path / "again", tiny_family(seed=1), tiny_data(2), **given, resume=state)
    assert again.losses == recorder.losses[2:]


def test_weights_that_are_looked_at_stay_too(tmp_path):
    """Schedule-free optimizers train others than are saved: what is saved is what stays."""
    free = {"optimizer_type": "AdamWScheduleFree", "learning_rate": 1e-2}
    trainer, _ = train_db(tmp_path, data=tiny_data(2), **free, **STOP)
    before = weights(trainer.family.text_encoder)
    trainer.learner._stepper.train()
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trainer.family.text_encoder).items())
    saved = part(tmp_path, 3, "text_encoder")
    assert all(torch.equal(before[name], saved[name]) for name in saved)


def test_where_it_cannot_be(tmp_path):
    for values, sentence in (
        ({"deepspeed": True}, "--stop_text_encoder_training does not go with --deepspeed"),
        ({"ddp_static_graph": True}, "--stop_text_encoder_training does not go with --ddp_static_graph"),
    ):
        with pytest.raises(BadOption, match=sentence):
            check_text_stop(db_options(tmp_path, stop_text_encoder_training=5, **values))
        check_text_stop(db_options(tmp_path, stop_text_encoder_training=0, **values))


def test_where_it_does_nothing(tmp_path):
    def told(given):
        rates = rate_notices(given.optimizer, given.schedule, given.method)
        return [text for text in (*rates, *idle_text_stop(given.method, given)) if "stop_text" in text]

    assert told(db_options(tmp_path, stop_text_encoder_training=3)) == [
        "--stop_text_encoder_training 3 changes nothing: all 3 steps train the text encoder."
    ]
    assert told(options(tmp_path, stop_text_encoder_training=2)) == [
        "--stop_text_encoder_training has no effect: no text encoder is trained."
    ]
    assert told(db_options(tmp_path, stop_text_encoder_training=0, learning_rate_te=1e-6)) == [
        "--learning_rate_te has no effect: --stop_text_encoder_training leaves it as it is."
    ]
    assert not told(db_options(tmp_path, stop_text_encoder_training=2))
