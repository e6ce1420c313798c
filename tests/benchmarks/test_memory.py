"""The benchmark of memory runs, and the formula holds for what it measures quickly."""

import pytest

from benchmarks import presets
from benchmarks.memory import Room, measure
from benchmarks.rows import Given


def test_what_is_expected_is_measured(tmp_path):
    measured, besides = measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert measured.holds and measured.bare > 0.01
    # Python, torch and the libraries: what the process held before and after is the same on a busy machine.
    assert besides.ours / 1.5 < besides.bare < besides.ours * 1.5


def test_presets_that_name_memory_are_measured(tmp_path):
    (row,) = presets.measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert row.what == "dreambooth/subject_12gb" and row.bare > 0.01
    names = dict(presets.of_presets("cuda"))
    assert len(names) == 13 and "--full_fp16" in names["train/sd15_8gb"]
    assert "--network_module networks.lora" in names["train_lora/small_gpu"]
    assert "fp16" not in dict(presets.of_presets("cpu"))["train/sd15_8gb"]


@pytest.mark.parametrize(
    "asked",
    [
        "train_network.py sd1 --network_module networks.lora --train_batch_size 4 --gradient_checkpointing"
        " --gradient_checkpointing_levels 1",
        "sdxl_train.py sdxl --mixed_precision bf16 --full_bf16 --stochastic_rounding",
    ],
    ids=["levels", "rounding"],
)
def test_recomputation_in_some_levels_and_rounding_by_lot_are_expected_right(tmp_path, asked):
    room = Room(tmp_path, "tiny", 256, "cpu")
    row = room.row(asked, room.measured(asked))
    assert row.holds, row
