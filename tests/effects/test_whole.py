"""Each option of each script has a row, and a run without changes comes to the same twice."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, option_specs
from tests.effects.conftest import Run
from tests.effects.effect import Effect
from tests.effects.run import needed, observe

WITHOUT = {"onnx"}
"""Asks for what is done anyway; its help says so."""

TRAINERS = ["fine_tune.py", "train_network.py"]
"""They are put together from the same parts: what one proves of an option that is declared alike holds in the next."""


def all_rows() -> Iterator[Effect]:
    """The rows of every table of this folder."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        yield from getattr(importlib.import_module(f"tests.effects.{path.stem}"), "ROWS", [])


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_has_a_row(script: str) -> None:
    """Of this script; or of a trainer that stands before it and has the same option, and so the same code for it."""
    specs = _declared(script)
    earlier = [_declared(one) for one in TRAINERS[: TRAINERS.index(script)]] if script in TRAINERS else []
    shared = {name for name, spec in specs.items() if any(other.get(name) == spec for other in earlier)}
    rows = {row.flag for row in all_rows() if row.script == script}
    assert rows <= set(specs)
    assert rows | shared | WITHOUT == set(specs) | WITHOUT


def _declared(script: str) -> dict[str, OptionSpec]:
    """The options; groups that extend others have names of their own, and the same options."""
    return {name: replace(spec, group="") for name, spec in option_specs(SCRIPTS[script]).items()}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_run_comes_to_the_same(script: str, run: Run, world: Path, tmp_path: Path) -> None:
    """Without this, every row would hold."""
    given = {"logging_dir": "{here}/logs", "sample_prompts": "{here}/prompts.txt", "sample_at_first": True}
    values = given if script == "fine_tune.py" else {}
    assert run(script, values, False) == observe(script, needed(script) | values, world, tmp_path / "here")
