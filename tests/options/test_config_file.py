"""Options from a TOML file and into one."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library.config_output import config_text
from sd_scripts.library.errors import BadOption
from sd_scripts.options.cli import parse
from sd_scripts.options.config_file import ON_COMMAND_LINE_ONLY
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, flat_values, from_values, option_specs
from sd_scripts.options.values import changed_values
from tests.options.test_cli import ROOT, typed

WITH_CONFIG = [script for script, options in SCRIPTS.items() if "config_file" in option_specs(options)]


def read(folder: Path, text: str, *argv: str) -> FineTuneOptions:
    (folder / "c.toml").write_text(text, encoding="utf-8")
    return parse(FineTuneOptions, ["--config_file", str(folder / "c"), *argv], "fine_tune.py")


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


def free_text(spec: OptionSpec) -> bool:
    return spec.kind == "str" and not (spec.choices or spec.many)


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("script", WITH_CONFIG)
def test_every_option_survives_a_file(script: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    options_class, path = SCRIPTS[script], tmp_path_factory.mktemp("config") / "c.toml"
    specs = option_specs(options_class)
    names = [name for name, spec in specs.items() if not spec.secret and name not in ON_COMMAND_LINE_ONLY]
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True))
    values = {name: data.draw(TEXTS if free_text(specs[name]) else typed(specs[name])) for name in chosen}
    path.write_text(config_text(from_values(options_class, values)), encoding="utf-8")
    options = parse(options_class, [f"--config_file={path}"], Path(script).name)
    found = changed_values(options_class, flat_values(options)) | {"config_file": None}
    assert {name: value for name, value in found.items() if value is not None} == changed_values(options_class, values)


def test_sections_have_no_meaning_and_the_command_line_wins(tmp_path: Path) -> None:
    text = 'seed = 7\n[here]\nlearning_rate = 1\nv2 = true\n[there]\noptimizer_args = ["a=1", "b=2"]\nlog_prefix = ""\n'
    options = read(tmp_path, text)
    assert (options.length.seed, options.optimizer.learning_rate, options.model.v2) == (7, 1.0, True)
    assert options.optimizer.optimizer_args == ["a=1", "b=2"] and options.logging.log_prefix == ""
    # Even the default wins, where it is given.
    argv = ["--learning-rate", "2e-6", "--seed=1", "--optimizer_args", "c=3"]
    options = read(tmp_path, text, *argv)
    assert (options.length.seed, options.optimizer.learning_rate) == (1, 2e-6)
    assert options.optimizer.optimizer_args == ["c=3"]


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    assert read(tmp_path, 'huggingface_token = "hf_x"\n').hub.huggingface_token == "hf_x"


@pytest.mark.parametrize("start", ["\ufeff", "# comment\n"])
def test_a_mark_of_byte_order_is_no_matter(start: str, tmp_path: Path) -> None:
    assert read(tmp_path, start + "seed = 3").length.seed == 3


SENTENCES = {
    "learning_rat = 1": "there is no option learning_rat. Did you mean learning_rate?",
    "qqq = 1": "there is no option qqq. --help lists all options.",
    "tokenizer_cache_dir = 'x'": "tokenizer_cache_dir is not needed: the tokenizer comes with this program."
    " Leave it out.",
    'learning_rate = "1e-4"': 'learning_rate = "1e-4": Write a number, without quotes.',
    "v2 = 1": "v2 = 1: Write true or false, without quotes.",
    "seed = true": "seed = true: Write a number, without quotes.",
    "seed = 1.5": "seed = 1.5: 1.5 must be a whole number.",
    "learning_rate = nan": 'learning_rate = nan: "nan" is not a number. Write 1e-5 or 0.00001.',
    "learning_rate = -1.0": "learning_rate = -1.0: Must be 0 or more.",
    "resolution = 512": "resolution = 512: Write text, in quotes.",
    "resolution = [512, 512]": "resolution = [512, 512]: Write text, in quotes.",
    "optimizer_args = 'a=1'": 'optimizer_args = "a=1": Write a list: ["one", "two"].',
    "optimizer_args = [1]": "optimizer_args = [1]: Write text, in quotes.",
    "mixed_precision = 'fp8'": 'mixed_precision = "fp8": "fp8" is not one of no, fp16, bf16.',
    "huggingface_token = 12345": "huggingface_token: Write text, in quotes.",
    "output_config = true": "output_config stands on the command line only.",
    "[a]\nseed = 1\n[b]\nseed = 2": "seed stands there twice.",
    "[a.b]\nseed = 1": "a.b is a section within a section. Use one level.",
    "[[datasets]]\nresolution = 512": "datasets belong into a file of their own. Name it with --dataset_config.",
}


@pytest.mark.parametrize(("text", "sentence"), SENTENCES.items())
def test_what_is_wrong_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadOption) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'c.toml'}: {sentence}"


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="c.toml is no TOML file: .*line 1"):
        read(tmp_path, "seed 1")
    with pytest.raises(BadOption, match="d.toml: No such file or directory"):
        parse(FineTuneOptions, [f"--config_file={tmp_path / 'd'}"], "fine_tune.py")
    (tmp_path / "d.toml").write_bytes(b"log_prefix = '\xff'")
    with pytest.raises(BadOption, match="d.toml is no TOML file"):
        parse(FineTuneOptions, [f"--config_file={tmp_path / 'd.toml'}"], "fine_tune.py")


def script(folder: Path, *argv: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "sd_scripts" / "fine_tune.py", *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_script_writes_a_file_and_ends(tmp_path: Path) -> None:
    plain = ["--v2", "--learning_rate=1e-5", "--output_name=猫", "--huggingface_repo_id=a/b"]
    assert "--output_config needs --config_file: the file to write." in script(tmp_path, "--output_config").stderr
    done = script(tmp_path, *plain, "--huggingface_token=hf_x", "--config_file=mine", "--output_config")
    assert done.returncode == 0
    assert done.stderr.startswith("Wrote mine.toml. Secrets are not written: huggingface_token. Nothing else was done")
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert "hf_x" not in text + done.stderr
    assert "# The base model is Stable Diffusion 2.\nv2 = true\n" in text
    assert tomllib.loads(text) == {
        "model": {"v2": True},
        "optimizer": {"learning_rate": 1e-5},
        "saving": {"output_name": "猫"},
        "hub": {"huggingface_repo_id": "a/b"},
    }
    again = script(tmp_path, "--config_file=mine", "--output_config")
    assert (again.returncode, (tmp_path / "mine.toml").read_text(encoding="utf-8")) == (2, text)
    assert "mine.toml is there already, and --output_config replaces nothing." in again.stderr
