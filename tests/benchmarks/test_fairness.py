"""What the benchmarks compare is alike: the same device, the same memory, the same bytes."""

import json
from pathlib import Path

import pytest

from benchmarks import bare_metadata, start
from benchmarks.metadata import made_entries
from benchmarks.processes import Cost
from benchmarks.rows import Given
from sd_scripts.library.io.metadata import write_entries

LOADED = json.dumps({"seconds": 1.0, "cpu_s": 1.0, "bytes": 4_000_000, "peak_bytes": 4_000_000})


@pytest.fixture
def loadings(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """{way: device} of the loadings that would be started."""
    found: dict[str, str] = {}

    def noted(argv: list[str]) -> Cost:
        found[str(argv[-3])] = str(argv[-1])
        return Cost(1.0, 1.0, 1.0, LOADED)

    monkeypatch.setattr(start, "cost_of", noted)
    return found


def test_both_sides_of_loading_have_one_device(loadings: dict[str, str], tmp_path: Path) -> None:
    start.against_bare("sd1", tmp_path / "model", Given("cuda", False, 2, tmp_path), 2)
    assert loadings == {"again": "cuda", "bare": "cuda"}
    loadings.clear()
    start.parts_alone({"sd1": tmp_path / "model"})
    assert loadings == {"whole": "cpu", "vae": "cpu", "texts": "cpu"}


def test_the_bare_loop_writes_the_same_metadata(tmp_path: Path) -> None:
    ours, bare = tmp_path / "ours.json", tmp_path / "bare.json"
    write_entries(ours, made_entries(20))
    assert bare_metadata.copy(str(ours), str(bare)) == "20 entries"
    assert bare.read_bytes() == ours.read_bytes()
    assert json.dumps(json.loads(ours.read_text()), indent=2, ensure_ascii=False) + "\n" == ours.read_text()
