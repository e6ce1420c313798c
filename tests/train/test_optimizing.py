"""Optimizer, rates and schedule together: what cannot be is refused, and what has no effect is said."""

import pytest

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.training import check_training
from sd_scripts.library.train.optimizing import check_part_rates, choose_schedule, rate_notices
from tests.train.tiny import options, tiny_data, train

SCHEDULE_FREE = {"optimizer_type": "AdamWScheduleFree"}
ADAFACTOR = {"optimizer_type": "adafactor"}
FIXED = ADAFACTOR | {"optimizer_args": ["relative_step=False"]}


@pytest.mark.parametrize(
    ("values", "option", "sentence"),
    [
        ({"lr_scheduler": "adafactor"}, "lr_scheduler", "needs --optimizer_type AdaFactor.*Use constant with AdamW"),
        (FIXED | {"lr_scheduler": "adafactor:1e-3"}, "lr_scheduler", "with its own rates"),
        ({"lr_scheduler_type": "StepLR", "lr_warmup_steps": 3}, "lr_warmup_steps", "is not for --lr_scheduler_type"),
        (SCHEDULE_FREE | {"lr_scheduler_type": "StepLR"}, "lr_scheduler_type", "no place beside AdamWScheduleFree"),
        (ADAFACTOR | {"lr_scheduler_type": "StepLR"}, "lr_scheduler_type", "no place beside AdaFactor"),
        ({"optimizer_type": "DAdaptSGD", "lr_warmup_steps": 2}, "lr_warmup_steps", "DAdaptSGD cannot take a step"),
        ({"optimizer_type": "FTRL", "learning_rate": 0.0}, "learning_rate", "at a learning rate of 0"),
        ({"lr_warmup_steps": 1.5}, "lr_warmup_steps", "write whole steps, or a share"),
        ({"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 99}, "lr_decay_steps", "than the 3 of training"),
    ],
)
def test_what_cannot_be(tmp_path, values, option, sentence):
    with pytest.raises(BadOption, match=sentence) as caught:
        check_training(options(tmp_path, **values))
    assert caught.value.option == option


@pytest.mark.parametrize(
    "values",
    [
        ADAFACTOR | {"lr_scheduler": "adafactor:1e-3"},
        ADAFACTOR | {"lr_scheduler": "adafactor", "optimizer_args": ["relative_step=False", "warmup_init=True"]},
        SCHEDULE_FREE | {"lr_scheduler": "cosine"},
        {"lr_scheduler_type": "StepLR", "lr_scheduler_args": ["step_size=2"]},
        {"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 99, "max_train_epochs": 50},
    ],
)
def test_what_can_be(tmp_path, values):
    check_training(options(tmp_path, **values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, []),
        ({"optimizer_type": "Prodigy"}, ["--learning_rate 0.001 is far too low for Prodigy, which scales it itself"]),
        ({"optimizer_type": "Prodigy", "learning_rate": 1.0}, []),
        (ADAFACTOR, ["AdaFactor finds its learning rates itself, without --learning_rate. For a fixed rate"]),
        (ADAFACTOR | {"lr_scheduler": "cosine", "lr_warmup_steps": 2},
         ["itself", "AdaFactor, which has a way of its own in place of a schedule, does not use --lr_scheduler and"
                    " --lr_warmup_steps"]),
        (ADAFACTOR | {"lr_scheduler": "adafactor:1e-3"}, ["itself", "adafactor:1e-3 is the same as adafactor"]),
        (FIXED | {"lr_scheduler": "cosine"}, []),
        (SCHEDULE_FREE | {"lr_warmup_steps": 2},
         ["does not use --lr_warmup_steps", "say --optimizer_args warmup_steps="]),
        ({"lr_scheduler": "linear", "lr_scheduler_power": 2.0, "lr_decay_steps": 5},
         ["--lr_scheduler linear does not use --lr_decay_steps and --lr_scheduler_power"]),
        ({"lr_scheduler_type": "ConstantLR", "lr_scheduler": "cosine"}, ["ConstantLR does not use --lr_scheduler."]),
        ({"lr_scheduler": "cosine_with_min_lr"}, ["falls to 0 without --lr_scheduler_min_lr_ratio"]),
        ({"lr_scheduler": "warmup_stable_decay"}, ["does not fall without --lr_decay_steps"]),
        ({"learning_rate_te": 1e-4}, ["--learning_rate_te has no effect: --train_text_encoder is not given"]),
        ({"learning_rate_te": 0.0, "train_text_encoder": True}, ["its text encoder is not trained"]),
    ],
)  # fmt: skip
def test_what_a_user_should_know(tmp_path, values, said):
    given = options(tmp_path, **values)
    texts = rate_notices(given.optimizer, given.schedule, given.method)
    assert len(texts) == len(said)
    assert all(part in text for part, text in zip(said, texts, strict=True))


def test_one_factor_is_found_for_one_rate(tmp_path):
    text = {"train_text_encoder": True, "optimizer_type": "DAdaptAdam"}
    apart = options(tmp_path, learning_rate_te=0.5, **text)
    with pytest.raises(BadOption, match="DAdaptAdam takes one learning rate for everything") as caught:
        check_part_rates(apart.optimizer, apart.method)
    assert caught.value.option == "learning_rate_te"
    for rate in (None, 0.0, 1e-3):
        same = options(tmp_path, learning_rate_te=rate, **text)
        check_part_rates(same.optimizer, same.method)


def test_schedule_free_keeps_the_full_rate(tmp_path):
    given = options(tmp_path, lr_scheduler="cosine", **SCHEDULE_FREE)
    assert choose_schedule(given.optimizer, given.schedule, 10)(9) == 1.0


def test_the_text_encoder_may_have_a_rate_of_its_own(tmp_path):
    given = {"lr_scheduler": "linear", "max_train_steps": 4, "learning_rate": 1e-3}
    trainer, recorder = train(tmp_path, data=tiny_data(2), text=True, text_rate=2e-4, **given)
    assert [event.values["lr/unet"] for event in recorder.of("metric")] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    rates = [event.values["lr/text_encoder"] for event in recorder.of("metric")]
    assert rates == pytest.approx([2e-4, 1.5e-4, 1e-4, 0.5e-4])
    assert trainer.movement.norms()["text_encoder"] > 0


def test_at_a_rate_of_0_the_text_encoder_is_not_trained(tmp_path):
    trainer, recorder = train(tmp_path, text=True, text_rate=0.0)
    _, without = train(tmp_path)
    assert set(trainer.movement.norms()) == {"unet"}
    assert "lr/text_encoder" not in recorder.of("metric")[0].values
    assert recorder.losses == without.losses
    assert not any(parameter.requires_grad for parameter in trainer.family.text_encoder.parameters())
