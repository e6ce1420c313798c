"""The benchmark of saving works: its figures mean nothing here."""

from benchmarks.rows import Given
from benchmarks.saving import measure


def test_models_and_states_are_saved_beside_a_plain_write(tmp_path):
    rows = measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert [row.what for row in rows] == [
        "sd1, fp16 as trained, .safetensors",
        "sd1, fp16 as bf16, .safetensors",
        "sd1, fp16 as trained, .ckpt",
        "sd1, training waits: written aside, and at once",
        "sd1, state with AdamW",
    ]
    assert all(row.ours > 0 and row.bare for row in rows)
    assert not list(tmp_path.iterdir())
