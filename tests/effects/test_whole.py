"""Each option of each script has a row, and a run without changes comes to the same twice."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import option_specs
from tests.effects.conftest import Run
from tests.effects.effect import Effect
from tests.effects.run import needed, observe

WITHOUT = {"onnx"}
"""Asks for what is done anyway; its help says so."""


def all_rows() -> Iterator[Effect]:
    """The rows of every table of this folder."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        yield from getattr(importlib.import_module(f"tests.effects.{path.stem}"), "ROWS", [])


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_has_a_row(script: str) -> None:
    """Of this script; or of an earlier one that has the same option in the same group, and so the same code for it."""
    specs = {name: option_specs(options) for name, options in SCRIPTS.items()}
    earlier = list(SCRIPTS)[: list(SCRIPTS).index(script)]
    shared = {name for name, spec in specs[script].items() if any(specs[one].get(name) == spec for one in earlier)}
    rows = {row.flag for row in all_rows() if row.script == script}
    assert rows <= set(specs[script])
    assert rows | shared | WITHOUT == set(specs[script]) | WITHOUT


def test_what_trains_shares_its_groups() -> None:
    fine_tune, network = option_specs(SCRIPTS["fine_tune.py"]), option_specs(SCRIPTS["train_network.py"])
    own = {name for name, spec in network.items() if fine_tune.get(name) != spec}
    assert own == {row.flag for row in all_rows() if row.script == "train_network.py"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_run_comes_to_the_same(script: str, run: Run, world: Path, tmp_path: Path) -> None:
    """Without this, every row would hold."""
    given = {"logging_dir": "{here}/logs", "sample_prompts": "{here}/prompts.txt", "sample_at_first": True}
    values = given if script == "fine_tune.py" else {}
    assert run(script, values, False) == observe(script, needed(script) | values, world, tmp_path / "here")
