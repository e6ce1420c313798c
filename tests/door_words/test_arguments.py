"""What is typed into a field reaches the script as exactly that one value, or is refused: nothing is injected."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohya_gui.api import Studio
from kohya_gui.checks import check
from kohya_gui.command import stage_argv
from kohya_gui.files import Roots
from kohya_gui.importing.shells import split_commands
from kohya_gui.launching import LaunchOptions
from kohya_gui.project import Project
from kohya_gui.stages import STAGES
from sd_scripts.library.systems import command_text, script_text
from sd_scripts.options.cli import parse
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import flat_values, option_specs
from sd_scripts.options.values import BadValue, read_value, to_argv

REPO = Path(__file__).resolve().parents[2]
NASTY = (
    "-x", "--help", "--output_dir=/etc", "-", "--", "a\nb", "a\r\n--help", "it's", 'say "hi"', "'\"'", "$(touch x)",
    "`touch x`", "$HOME", "%PATH%", "%PATH%&calc", "^&|<>", "a & calc", "a; touch x", "a | b", "@file", "@/etc/passwd",
    "name=value", "=", "a\\", "\\\\server\\x", "日本 語", "*", "~", "#x", "!x!", "{x}", "\t", "a\u2028b",
    "\x1b[2J", "\\",
)  # fmt: skip
ROUNDS = 3


def texts_of(stage):
    """The options of a stage that take any text."""
    specs = option_specs(STAGES[stage].options)
    launch = option_specs(LaunchOptions)
    return {
        name: spec for name, spec in specs.items() if spec.kind == "str" and not spec.choices and name not in launch
    }


def read(spec, value):
    try:
        return read_value(spec, [value, value] if spec.many else value)
    except BadValue:
        return None


@pytest.mark.parametrize("stage", STAGES)
def test_every_field_of_a_stage_arrives_as_it_was_typed(stage):
    script = STAGES[stage].script
    specs = texts_of(stage)
    for turn in range(ROUNDS):
        typed = {name: NASTY[(at + 11 * turn) % len(NASTY)] for at, name in enumerate(specs)}
        values = {name: read(specs[name], value) for name, value in typed.items()}
        # config_file names a file that is opened at once.
        values = {name: value for name, value in values.items() if value is not None and name != "config_file"}
        rest = {name: 1 for name, spec in option_specs(SCRIPTS[script]).items() if spec.required and name not in values}
        arrived = flat_values(parse(SCRIPTS[script], to_argv(SCRIPTS[script], {**rest, **values}), script))
        for name, value in values.items():
            assert arrived[name] == value, (stage, name)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2))
def test_any_text_arrives_in_its_field(texts):
    script = "finetune/tag_images_by_wd14_tagger.py"
    specs = option_specs(SCRIPTS[script])
    typed = {"caption_separator": texts[0], "undesired_tags": texts[1]}
    values = {name: value for name, text in typed.items() if (value := read(specs[name], text)) is not None}
    needed = {name: "x" for name, spec in specs.items() if spec.required and name not in values}
    arrived = flat_values(parse(SCRIPTS[script], to_argv(SCRIPTS[script], {**needed, **values}), script))
    assert {name: arrived[name] for name in values} == values


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")), min_size=1, max_size=5))
def test_a_copied_command_is_read_back_as_the_same_words(words):
    for shell in ("sh", "cmd"):
        assert split_commands(command_text(["run", *words], shell), shell) == [["run", *words]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=5))
def test_a_copied_command_and_its_file_do_in_sh_what_they_say(words):
    show = [sys.executable, "-S", "-c", "import sys; sys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode())"]
    for text in (command_text([*show, *words], "sh"), script_text([*show, *words], "sh")):
        said = subprocess.run(["sh"], input=text.encode(), capture_output=True, check=True).stdout
        assert said.decode().split("\0") == words


@pytest.mark.parametrize("value", NASTY)
def test_fields_of_the_launcher_are_one_word_each_or_refused(tmp_path, value):
    place = (Project(work_dir=str(tmp_path)), Roots([tmp_path]))
    typed = {"gpu_ids": value, "main_process_ip": value, "num_machines": "2", "main_process_port": "29500"}
    checked = check(STAGES["train"], typed, *place)
    refused = {one.field for one in checked.findings if one.level == "error"}
    assert {"gpu_ids", "main_process_ip"} <= refused
    words = stage_argv(STAGES["train"], checked.draft.values, REPO)
    before = words[: next(at for at, word in enumerate(words) if word.endswith("fine_tune.py"))]
    assert all(word.startswith("--") and "=" in word for word in before[4:] if word not in ("--multi_gpu", "--quiet"))


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    return Studio(folder / "runs", [folder], REPO / "presets", REPO)


@pytest.mark.parametrize("flag", ["--module", "evil", "output_dir ; x", "", "lang", "self", "__class__", "argv"])
def test_options_that_a_script_does_not_have_are_refused(studio, flag):
    for name in ("train", "caption_blip"):
        answer = studio.call("start", {"stage": name, "values": {flag: "x"}, "confirm": True})
        assert "error" in answer or any(one["level"] == "error" for one in answer["findings"])


@pytest.mark.parametrize("stage", ["train", "train_lora", "sdxl_lora"])
def test_a_text_is_never_two_words_of_a_command_that_is_shown(studio, stage):
    answer = studio.call(
        "check", {"stage": stage, "values": {"output_name": "a --module evil", "metadata_title": "--no_python"}}
    )
    (words,) = split_commands(answer["command"]["sh"], "sh")
    assert "--module" not in words and "--no_python" not in words
    assert any("a --module evil" in word for word in words) and any(word.endswith("--no_python") for word in words)
