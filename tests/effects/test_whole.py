"""Each option of each script has a row, and a run without changes comes to the same twice."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sd_scripts.options.cache_tools import CacheLatentsOptions, CacheTextsOptions
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import option_specs
from sd_scripts.options.trainer import TrainerOptions
from tests.effects.conftest import Run
from tests.effects.effect import Effect
from tests.effects.run import needed, observe

WITHOUT = {
    "finetune/tag_images_by_wd14_tagger.py": {"onnx"},
    "tools/cache_latents.py": {"cache_latents", "cache_latents_to_disk"},
    "tools/cache_text_encoder_outputs.py": {"cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk"},
}
"""They ask for what is done anyway; their help says so."""


def all_rows() -> Iterator[Effect]:
    """The rows of every table of this folder."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        yield from getattr(importlib.import_module(f"tests.effects.{path.stem}"), "ROWS", [])


_READING = (TrainerOptions, CacheLatentsOptions, CacheTextsOptions)
ON_THE_LOOP = [script for script, options in SCRIPTS.items() if issubclass(options, _READING)]
"""They read data, and most of them train, with the same code.

What they share through a group of options is shown with the first of them.
"""


def shown_elsewhere(script: str) -> set[str]:
    """The options that a script shares through their group with an earlier one of the loop."""
    earlier = ON_THE_LOOP[: ON_THE_LOOP.index(script)] if script in ON_THE_LOOP else ()
    specs = option_specs(SCRIPTS[script])
    others = {(spec.group, name) for other in earlier for name, spec in option_specs(SCRIPTS[other]).items()}
    return {name for name, spec in specs.items() if (spec.group, name) in others}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_has_a_row(script: str) -> None:
    rows = {row.flag for row in all_rows() if row.script == script}
    options = set(option_specs(SCRIPTS[script]))
    assert options - shown_elsewhere(script) - WITHOUT.get(script, set()) <= rows <= options


def test_what_a_script_has_for_itself_is_not_shown_elsewhere() -> None:
    own = {"block_lr", "learning_rate_te1"}
    assert not own & shown_elsewhere("sdxl_train.py")
    assert shown_elsewhere("fine_tune.py") == set()


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_run_comes_to_the_same(script: str, run: Run, world: Path, tmp_path: Path) -> None:
    """Without this, every row would hold."""
    given = {"logging_dir": "{here}/logs", "sample_prompts": "{here}/prompts.txt", "sample_at_first": True}
    values = given if script == "fine_tune.py" else {}
    assert run(script, values, False) == observe(script, needed(script) | values, world, tmp_path / "here")
