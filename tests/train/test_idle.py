"""Options that do nothing beside others are named before training."""

import pytest

from sd_scripts.library.train.idle import idle_levels, idle_settings
from tests.train.tiny import options

PROMPTS = {"sample_prompts": "prompts.txt"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"max_train_epochs": 2}, "--max_train_steps is not used: --max_train_epochs decides the length."),
        ({"no_half_vae": True}, "--no_half_vae changes nothing with --mixed_precision no, which is exact throughout."),
        (
            {"save_n_epoch_ratio": 2, "save_every_n_epochs": 1},
            "--save_every_n_epochs is not used: --save_n_epoch_ratio decides how often is saved.",
        ),
        (
            PROMPTS | {"sample_every_n_epochs": 1, "sample_every_n_steps": 1},
            "--sample_every_n_steps is not used: --sample_every_n_epochs wins over it.",
        ),
        (
            PROMPTS,
            "--sample_prompts: no samples are drawn without --sample_every_n_epochs, --sample_every_n_steps or"
            " --sample_at_first.",
        ),
        ({"sample_sampler": "euler"}, "--sample_sampler changes nothing without --sample_prompts."),
        ({"sample_batch_size": 2}, "--sample_batch_size changes nothing without --sample_prompts."),
    ],
)
def test_what_does_nothing_is_said(tmp_path, values, sentence):
    assert list(idle_settings(options(tmp_path, **values))) == [sentence]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"no_half_vae": True, "mixed_precision": "bf16"},
        {"max_train_epochs": 2, "max_train_steps": 1600},
        {"save_n_epoch_ratio": 2},
        PROMPTS | {"sample_at_first": True, "sample_sampler": "euler", "sample_batch_size": 2},
    ],
)
def test_what_is_used_is_not_noticed(tmp_path, values):
    assert list(idle_settings(options(tmp_path, **values))) == []


@pytest.mark.parametrize(("asked", "said"), [(None, []), (3, []), (4, ["4"]), (99, ["99"])])
def test_levels_that_the_model_lacks_are_noticed(tmp_path, asked, said):
    given = options(tmp_path, gradient_checkpointing=True, gradient_checkpointing_levels=asked).precision
    sentence = "changes nothing: the U-Net has 4 levels, and all of them are recomputed."
    assert list(idle_levels(given, 4)) == [f"--gradient_checkpointing_levels {one} {sentence}" for one in said]
