"""The page about dataset files says what is true."""

import re
from pathlib import Path

import pytest

from sd_scripts.library.data.dataset_config import LEVELS, SPECS, read_dataset_config

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(params=["dataset_config.md", "dataset_config-ja.md"])
def document(request: pytest.FixtureRequest) -> str:
    return (DOCS / request.param).read_text(encoding="utf-8")


def test_its_example_can_be_read(document: str, tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", document, re.S)
    assert example
    (tmp_path / "data.toml").write_text(example[1], encoding="utf-8")
    first, second = read_dataset_config(str(tmp_path / "data.toml"))
    assert len(first.subsets) == 2 and second.subsets[0].values["metadata_file"] == "meta_lat.json"


def test_every_key_stands_in_its_row(document: str) -> None:
    rows = [set(re.findall(r"`([a-z_]+)`", row)) for row in re.findall(r"^\| .*", document, re.M)]
    named = [keys & set(SPECS) for keys in rows if keys & set(SPECS)]
    assert set().union(*named) == set(SPECS)
    assert named[0] == LEVELS["datasets"] - LEVELS["subsets"]
    assert named[-1] == LEVELS["subsets"] - LEVELS["datasets"]
