"""The page about dataset files says what is true."""

import re
from pathlib import Path

from sd_scripts.library.data.dataset_config import LEVELS, SPECS, read_dataset_config

DOCUMENT = (Path(__file__).parents[2] / "docs" / "dataset_config.md").read_text(encoding="utf-8")


def test_its_example_can_be_read(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", DOCUMENT, re.S)
    assert example
    (tmp_path / "data.toml").write_text(example[1], encoding="utf-8")
    first, second = read_dataset_config(str(tmp_path / "data.toml"))
    assert len(first.subsets) == 2 and second.subsets[0].values["metadata_file"] == "meta_lat.json"


def test_every_key_stands_in_its_row() -> None:
    rows = [set(re.findall(r"`([a-z_]+)`", row)) for row in re.findall(r"^\| (?!Level).*", DOCUMENT, re.M)[0:]]
    named = [keys & set(SPECS) for keys in rows if keys & set(SPECS)]
    assert set().union(*named) == set(SPECS)
    assert named[0] == LEVELS["datasets"] - LEVELS["subsets"]
    assert named[-1] == LEVELS["subsets"] - LEVELS["datasets"]
