"""The memory that is expected of recomputation in some levels, and of rounding by lot, reckoned by hand."""

from dataclasses import replace

import pytest

from sd_scripts.library.footprint.portions import PORTION, cut
from sd_scripts.library.footprint.text import TextShape
from sd_scripts.library.footprint.training import Beside, Model, Setting, footprint
from sd_scripts.library.footprint.unet import Picture, UNetShape
from sd_scripts.library.train.expected_memory import expected, setting_of
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_network import TrainNetworkOptions
from tests.train.tiny import options

SD1_SHAPE = UNetShape((320, 640, 1280, 1280), (1, 1, 1, 0), (8, 8, 8, 8), 2, 768, False)
SDXL_SHAPE = UNetShape((320, 640, 1280), (0, 2, 10), (5, 10, 20), 2, 2048, True)
TEXT = TextShape(768, 12, 3072, 12, 49408, True)
SD1 = Model(SD1_SHAPE, (TEXT,), 859_520_964, (123_060_480,), 83_653_863)
SDXL = Model(SDXL_SHAPE, (TEXT, replace(TEXT, width=1280)), 2_567_463_684, (123_060_480, 694_659_840), 83_653_863)
HALF = {"mixed_precision": "bf16", "full_bf16": True}


def beside(model, **more):
    """A network beside a model, with four pictures of 512 x 512."""
    unlearnt = (False,) * len(model.texts)
    return Setting(model, Picture(4, 64, 64), whole=False, learning=unlearnt, beside=Beside(8), on_cpu=True, **more)


@pytest.mark.parametrize("model", [SD1, SDXL], ids=["sd1", "sdxl"])
def test_the_fewer_levels_are_recomputed_the_more_is_kept(model):
    levels = len(model.unet.widths)
    some = [footprint(beside(model, recomputes=True, levels=one)).total for one in range(1, levels + 1)]
    everywhere = footprint(beside(model, recomputes=True)).total
    assert [footprint(beside(model)).total, *some] == sorted([footprint(beside(model)).total, *some], reverse=True)
    assert len({*some}) == levels and some[-1] == everywhere
    assert footprint(beside(model, recomputes=True, levels=levels + 5)).total == everywhere
    # Without recomputation there is nothing to divide.
    assert footprint(beside(model, levels=1)) == footprint(beside(model))


def test_text_encoders_are_recomputed_whatever_the_levels():
    learning = replace(beside(SD1, recomputes=True, levels=1), learning=(True,))
    kept = replace(learning, recomputes=False, levels=None)
    unlearnt = (footprint(beside(SD1, recomputes=True, levels=1)), footprint(beside(SD1)))
    more = [footprint(one).activations - less.activations for one, less in zip((learning, kept), unlearnt, strict=True)]
    assert more[0] < more[1] / 2


def test_what_is_asked_for_is_reckoned_with(tmp_path):
    given = {"network_module": "networks.lora", "gradient_checkpointing": True, "train_batch_size": 4}
    totals = []
    for levels in (1, 2, None):
        asked = from_values(TrainNetworkOptions, given | {"gradient_checkpointing_levels": levels})
        totals.append(expected(asked, SD1, (512, 512), 4, on_cpu=True).total)
    assert totals[0] > totals[1] > totals[2]
    plain, rounded = (options(tmp_path, **HALF, stochastic_rounding=one) for one in (False, True))
    more = expected(rounded, SD1, (64, 64), 1, True).total - expected(plain, SD1, (64, 64), 1, True).total
    # Weights, gradients, both states and lots of the largest portion, but for the gradients that have gone by then.
    assert 0 < more < 19 * 2560 * 1280 * 9
    assert setting_of(rounded, SD1, (64, 64), 1, True).rounds


SMALL = UNetShape((64, 128), (1, 0), (1, 1), 1, 32, False)


@pytest.mark.parametrize(
    ("optimizer", "each"),
    [
        # In bf16 a gradient; in float32 a weight and a gradient, whose bf16 has gone; lots; then what is remembered, in
        # float32 and rounded, whose own bf16 has gone.
        ("AdamW", 2 + 8 - 2 + 5 + 2 * (4 + 2 - 2)),
        # It makes two float32 of the largest weight, which is less.
        ("Lion", 2 + 8 - 2 + 5 + (4 + 2 - 2)),
        # What it remembers is in 8 bits, and stays so.
        ("AdamW8bit", 2 + 8 - 2 + 5),
    ],
)
def test_rounding_makes_float32_of_a_portion(optimizer, each):
    numbers = 4_000_000
    model = Model(SMALL, (TEXT,), numbers, (1,))
    setting = Setting(model, Picture(1, 2, 2), weights=2, computed=2, optimizer=optimizer, on_cpu=True, rounds=True)
    told = footprint(setting)
    assert told.gradients + told.activations == numbers * each
    # What lies there between steps is in bf16 as before.
    before = footprint(replace(setting, rounds=False))
    assert (told.weights, told.optimizer) == (before.weights, before.optimizer)


def test_of_many_weights_one_portion_is_in_float32():
    setting = Setting(SD1, Picture(1, 8, 8), weights=2, computed=2, optimizer="AdamW", on_cpu=True)
    plain, rounded = footprint(setting), footprint(replace(setting, rounds=True))
    more = rounded.total - plain.total
    assert 19 * PORTION / 2 < more < 19 * 2560 * 1280 * 9
    # Within the backward pass it is that of one weight.
    passing = replace(setting, in_backward=True)
    assert 0 < footprint(replace(passing, rounds=True)).total - footprint(passing).total <= 17 * 2560 * 1280 * 9


def test_neighbours_are_cut_where_they_come_to_more():
    assert [(one.start, one.stop) for one in cut([4, 4, 4, 30, 1], 10)] == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert not list(cut([], 10))
