"""The benchmark of memory runs, and the formula holds for what it measures quickly."""

from benchmarks import presets
from benchmarks.memory import measure
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
