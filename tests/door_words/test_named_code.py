"""Options that name code: it comes from installed packages, never from a folder that the page can write to."""

import subprocess
import sys
from pathlib import Path

import pytest

from kohya_gui.checks import check
from kohya_gui.code_rules import NAMES_CODE
from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.worker import Worker
from kohya_gui.stages import STAGES
from sd_scripts.library import installed
from sd_scripts.library.data.captions import RUN_BY_SOMETHING, checked_extension
from sd_scripts.library.data.dataset_class import find_class
from sd_scripts.library.errors import BadFile, BadOption, NotInstalled
from sd_scripts.library.tagging.captioner import load_part
from sd_scripts.library.train.arguments import load_named
from sd_scripts.library.train.network_module import open_network_module
from sd_scripts.library.train.schedules import make_scheduler
from sd_scripts.options.optimizer import ScheduleOptions
from sd_scripts.options.spec import option_specs

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module in a folder that is the working folder, and for once the repository's: importing it leaves a file."""
    (tmp_path / "evil_words.py").write_text(
        "open('canary', 'w').close()\nclass Class: pass\ndef create_network(): pass\n"
    )
    (tmp_path / "fractions.py").write_text("open('canary', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(installed, "REPOSITORY", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend("")
    return tmp_path / "canary"


def test_no_option_runs_a_file_of_a_folder(trap, monkeypatch):
    monkeypatch.setenv(installed.INSTALLED_ONLY, "1")
    with pytest.raises(NotInstalled):
        open_network_module("evil_words")
    with pytest.raises(NotInstalled):
        load_named("evil_words", "Class", "optimizer_type", "evil_words", "use AdamW")
    with pytest.raises(BadOption):
        find_class("evil_words.Class")
    assert not trap.exists() and not installed.is_installed("evil_words")


def test_a_folder_does_not_take_an_installed_packages_place(trap, monkeypatch):
    monkeypatch.delitem(sys.modules, "fractions", raising=False)
    assert installed.import_installed("fractions").Fraction(1, 2) * 2 == 1
    assert not trap.exists()


def test_in_a_terminal_a_class_of_the_working_folder_is_found(trap, monkeypatch):
    monkeypatch.delenv(installed.INSTALLED_ONLY, raising=False)
    monkeypatch.setattr(installed, "_places", list)
    with pytest.raises(BadOption, match="plan"):
        find_class("evil_words.Class")
    assert trap.exists()


@pytest.mark.parametrize("name", ["subprocess.Popen", "os.system", "timeit.timeit"])
def test_a_scheduler_is_a_class_that_steps_before_it_is_called(name):
    with pytest.raises(BadOption, match="no class of a scheduler"):
        make_scheduler(ScheduleOptions(lr_scheduler_type=name), None)


@pytest.mark.parametrize("flag", NAMES_CODE)
def test_the_page_refuses_what_is_not_installed_and_asks_about_the_rest(trap, flag):
    stage = STAGES["train_lora"]
    place = (Project(work_dir=str(trap.parent)), Roots([trap.parent]))

    def of_code(value):
        found = check(stage, {flag: value}, *place).findings
        return [(one.level, one.key) for one in found if one.field == flag and "code" in one.key]

    assert of_code("evil_words.Class") == [("error", "check.code_not_installed")]
    assert of_code("wheel.Class" if installed.is_installed("wheel") else "decimal.Class") == [
        ("warning", "check.code_of_others")
    ]
    assert of_code("torch.optim.AdamW") == of_code("networks.lora") == []
    assert not trap.exists(), "to look at a form runs nothing"


def test_every_option_that_names_code_is_known_to_the_page():
    """A new option whose help speaks of a module or class must be looked at here."""
    specs = [spec for stage in STAGES.values() for spec in option_specs(stage.options).values()]
    free = [spec for spec in specs if spec.kind == "str" and not spec.choices]
    told = {spec.name for spec in free if "module.Class" in spec.help or "etwork module" in spec.help}
    assert told <= {*NAMES_CODE} and {"optimizer_type", "lr_scheduler_type"} <= told


def test_runs_of_the_page_take_code_from_installed_packages_only(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":relative:/somewhere/else:")
    environment = Worker(RunStore(tmp_path), 1.0)._environment("20260101-000000-000-x")
    assert environment[installed.INSTALLED_ONLY] == "1" and environment["PYTHONPATH"] == "/somewhere/else"


@pytest.mark.parametrize("script", ["fine_tune.py", "finetune/make_captions.py", "networks/merge_lora.py"])
def test_a_script_looks_for_modules_in_the_repository_and_not_in_the_working_folder(tmp_path, script):
    for name in ("tyro", "random", "evil"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w').close()")
    done = subprocess.run([sys.executable, REPO / "sd_scripts" / script, "--help"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0 and not (tmp_path / "canary").exists()


def test_no_model_may_bring_code_along():
    """Nothing asks diffusers or transformers to run code that lies beside a model."""
    sources = {path: path.read_text(encoding="utf-8") for path in (REPO / "sd_scripts").rglob("*.py")}
    told = [text.replace("trust_remote_code=False", "") for text in sources.values()]
    used = [text for text in told if "trust_remote_code" in text or "custom_pipeline" in text]
    assert used == []


def test_a_tokenizer_that_brings_code_along_is_refused_and_not_asked_about(tmp_path):
    from transformers import AutoTokenizer

    (tmp_path / "config.json").write_text(
        '{"model_type": "evil", "auto_map": {"AutoTokenizer": ["evil.Tokenizer", null]}}'
    )
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Tokenizer", null]}}'
    )
    canary = tmp_path / "canary"
    (tmp_path / "evil.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
    with pytest.raises(BadFile, match="AutoTokenizer"):
        load_part(AutoTokenizer, tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("ending", [*RUN_BY_SOMETHING, ".PY", "py", ".txt.py", ".py.", ".py ", ".png"])
def test_no_text_of_a_picture_becomes_a_program(ending):
    with pytest.raises(BadOption):
        checked_extension(ending)
