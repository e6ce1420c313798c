"""Each option of training does what it says, seen in the losses: or changes nothing, where it must not."""

import ast
from pathlib import Path

import pytest

from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import flat_values
from tests.train.tiny import captioned, tiny_data, tiny_family, train

LIBRARY = Path(__file__).parents[2] / "sd_scripts"


def losses(folder, text="a red cat, sitting", **values):
    given = {"train_batch_size": 2, "max_train_steps": 2} | values
    return train(folder, data=captioned(text, 2), **given)[1].losses


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return losses(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    "values",
    [{"clip_skip": 2}, {"max_token_length": 225}, {"noise_offset": 0.1}, {"seed": 2}],
)
def test_it_changes_the_first_loss(tmp_path, plain, values):
    assert losses(tmp_path, **values)[0] != pytest.approx(plain[0], rel=1e-6)


@pytest.mark.parametrize(
    "values", [{"max_grad_norm": 1e-6, "optimizer_type": "SGD"}, {"learning_rate": 0.0}, {"lr_warmup_steps": 1.0}]
)
def test_it_changes_what_is_learnt(tmp_path, plain, values):
    first, second = losses(tmp_path, **values)
    assert first == pytest.approx(plain[0], rel=1e-5)
    assert second != pytest.approx(plain[1], rel=1e-6)


@pytest.mark.parametrize(
    "values", [{"sdpa": True}, {"mem_eff_attn": True}, {"gradient_checkpointing": True}, {"clip_skip": 1}]
)
def test_it_changes_nothing(tmp_path, plain, values):
    # Adam's first steps make much of the rounding of small gradients; tests/models compares gradients themselves.
    assert losses(tmp_path, **values) == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize(("max_token_length", "same"), [(75, True), (225, False)])
def test_what_follows_the_75th_token_is_read_only_when_asked_for(tmp_path, max_token_length, same):
    given = {"max_token_length": max_token_length, "max_train_steps": 1}
    short, longer = (losses(tmp_path, "word " * 100 + last, **given) for last in ("cat", "dragon"))
    assert (short == longer) == same


def test_a_frozen_text_encoder_reads_each_caption_once(tmp_path):
    """Not again in every step, as elsewhere."""
    family, read = tiny_family(), []
    family.text_encoder.register_forward_hook(lambda *_: read.append(1))
    train(tmp_path, family=family, data=tiny_data(2), max_train_steps=6)
    assert len(read) == 2


def test_every_option_is_read_somewhere():
    """None is accepted and then ignored."""
    read = set()
    for file in LIBRARY.rglob("*.py"):
        if "options" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                read.add(node.value)
    assert set(flat_values(FineTuneOptions())) <= read
