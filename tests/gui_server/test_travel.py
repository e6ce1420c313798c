"""Every option but the secrets travels form -> command -> script -> run record -> preset -> form unchanged."""

import json
import os
import shutil
import subprocess
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kohya_gui.api import Studio
from kohya_gui.checks import Checked, check
from kohya_gui.command import stage_argv, texts
from kohya_gui.files import Roots
from kohya_gui.launch import run_facts
from kohya_gui.launching import split_values
from kohya_gui.layout import LISTED
from kohya_gui.presets import PresetStore
from kohya_gui.project import Project
from kohya_gui.runs.store import RunStore
from kohya_gui.stages import STAGES, TRAINERS, Stage
from sd_scripts.options.cli import parse
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, flat_values, option_specs
from sd_scripts.options.values import BadValue, changed_values, read_value
from tests.setup.test_quoting import through_cmd

REPO = Path(__file__).resolve().parents[2]
ODD = [
    "plain", "two words", " leading and trailing ", "it's", 'say "no"', "'", '"', '"quoted whole"', "100%", "%PATH%",
    "$HOME", "${x} $(y) `z`", "a\\b", "ends in \\", "\\\\server\\share", "^&|<>()!", "写真 🐈", "日本語、点",
    "-dash", "--two", "--learning_rate", "--batch_size=3", "-1", "=", "a=b", "a=-1", "#not a comment", "*", "?", "~",
    "[x]", "{y}", "tab\there", "1e-5", "0x10", "007", "true", "None", "null", "nan", "é", "e\u0301", "\u200b", "\u3000",
    "—long dash", "x" * 3000, ";;;", ", ", "@file", "%1", "!name!", "/", ".", "..", "<|endoftext|>", "\u202eback",
]  # fmt: skip
WITH_BREAKS = ["two\nlines", "\r\n", "a\rb", "\n"]
INTEGERS = ["0", "1", "8", "64", "+8", " 12 ", "1e3", "2.0", "007", "-1", str(2**31), str(2**53 + 1), "9" * 25]
FLOATS = [
    "1e-5", "1E-5", "1e-05", "0.00001", ".00001", "10e-6", "0.1", "5.", "-0.5", "1", "0", "-0.0", "1e-300", "5e-324",
    "1e300", "1.7976931348623157e308", "0.30000000000000004", "123456789.123456789",
]  # fmt: skip
NAMES = ["写真 $x %PATH% it's (1) & co", 'say "no".safetensors', "-dash", "a b", "100%^!", "x'y", "ends in .", "a\\b"]
ELSEWHERE = ["~", "~/x y", "owner/name", *(f"/a/{name}" for name in NAMES)]

# A form has too many fields to be made smaller in good time: a failure names the options that differ.
SETTINGS = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

texts_of_any_kind = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
    st.text(alphabet="-=\"'\\%$ ^&a1", max_size=8),
)


def typed_values(spec: OptionSpec, breaks: bool) -> st.SearchStrategy[Any]:
    """What somebody may type for an option, as text or as JSON; some of it is refused."""
    if spec.kind == "bool":
        return st.sampled_from([True, False, "true", "false"])
    if choices := spec.choices or LISTED.get(spec.name):
        return st.sampled_from([*choices, *map(str, choices)])
    if spec.kind == "int":
        return st.sampled_from(INTEGERS) | st.integers(0, 2**70)
    if spec.kind in ("float", "number"):
        shares = ["10%", "0.5%", "100%", "1000", "1e3"] if spec.kind == "number" else []
        return st.sampled_from(FLOATS + shares) | st.floats(0, 1) | st.floats(allow_nan=False, allow_infinity=False)
    if spec.path:
        # The one file that is read with the command line must be there.
        return st.sampled_from(NAMES if spec.name == "config_file" else [*NAMES, *ELSEWHERE])
    one = texts_of_any_kind | st.sampled_from(WITH_BREAKS) if breaks else texts_of_any_kind
    return st.lists(one, max_size=4) if spec.many else one


def takes(spec: OptionSpec, typed: Any) -> bool:
    """Whether an option takes what was typed."""
    try:
        read_value(spec, typed)
    except BadValue:
        return False
    return True


def own_options(stage: Stage) -> dict[str, OptionSpec]:
    """The options of a stage; of a training those that none before it has: what they share travels once."""
    before = TRAINERS[: TRAINERS.index(stage.id)] if stage.trains else ()
    shared = {name: spec for other in before for name, spec in option_specs(STAGES[other].options).items()}
    return {name: spec for name, spec in option_specs(stage.options).items() if shared.get(name) != spec}


def typed_forms(stage: Stage, breaks: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """A form of a stage, filled in everywhere or in part, with odd values that its options take."""
    specs = {name: spec for name, spec in own_options(stage).items() if not spec.secret}
    fields = {name: typed_values(spec, breaks).filter(partial(takes, spec)) for name, spec in specs.items()}
    needed = {name: field for name, field in fields.items() if specs[name].required}
    rest = {name: field for name, field in fields.items() if name not in needed}
    return st.fixed_dictionaries(fields) | st.fixed_dictionaries(needed, optional=rest)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of further options for every odd name, since that one is read with the command line."""
    folder = tmp_path_factory.mktemp("travel")
    for name in NAMES:
        (folder / f"{Path(name).name}.toml").touch()
    return folder


def checked_form(stage: Stage, typed: dict[str, Any], place: Path) -> Checked:
    """What the page makes of a form."""
    return check(stage, typed, Project(name="odd", work_dir=str(place)), Roots([Path("/")]))


def expected(stage: Stage, values: dict[str, Any]) -> dict[str, Any]:
    return {name: values.get(name, spec.default) for name, spec in option_specs(stage.options).items()}


def said(values: dict[str, Any]) -> dict[str, str]:
    """Values with their types: 1, 1.0 and True are three things."""
    return {name: repr(value) for name, value in sorted(values.items())}


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.id)
@SETTINGS
@given(data=st.data())
def test_values_travel_unchanged(stage: Stage, place: Path, data: st.DataObject) -> None:
    typed = data.draw(typed_forms(stage))
    draft = checked_form(stage, typed, place).draft
    specs = option_specs(stage.options)
    for name, value in typed.items():
        assert name in draft.values or read_value(specs[name], value) == specs[name].default, name
        if isinstance(value, str) and specs[name].kind == "str" and not specs[name].path and value:
            assert draft.get(name) == (value if not specs[name].many else read_value(specs[name], value)), name
    whole = expected(stage, draft.values)

    # The command, read by the script's own parser.
    argv = stage_argv(stage, draft.values, REPO)
    at = argv.index(str(REPO / "sd_scripts" / stage.script))
    launch, own = split_values(whole)
    assert said(flat_values(parse(SCRIPTS[stage.script], argv[at + 1 :], stage.script))) == said(own)
    told = {word.partition("=")[0] for word in argv[:at] if word.startswith("--")}
    assert {f"--{flag}" for flag in launch if flag in draft.values} <= told

    # The run's record, through its file.
    record = RunStore(place / "runs").create(**run_facts(checked_form(stage, typed, place), REPO, uuid.uuid4().hex))
    kept = RunStore(place / "runs").record(record.id)
    assert kept.argv == argv and said(kept.values) == said(whole)
    shutil.rmtree(place / "runs" / record.id)

    # Presets of the record's values, through their files; of what differs, and of all. Then back into the form.
    presets = PresetStore(REPO / "presets", place / "presets")
    for scope in ("changed", "all"):
        presets.save(stage.id, "odd", "", kept.values, scope)
        values = presets.get(stage.id, "odd").values
        assert said(changed_values(stage.options, values)) == said(draft.values)
        assert said(checked_form(stage, values, place).draft.values) == said(draft.values)
    assert said(checked_form(stage, kept.values, place).draft.values) == said(draft.values)


SECRET = "hf_Very5ecret"
READ_BY_SCRIPT = """
import json, runpy, sys
script, out = sys.argv[1:3]
del sys.argv[1:3]
sys.path.insert(0, {repo!r})
from sd_scripts.library import program
from sd_scripts.options.cli import parse
from sd_scripts.options.spec import flat_values

def write(options_class, work):
    with open(out, "w", encoding="utf-8") as stream:
        json.dump(flat_values(parse(options_class, sys.argv[1:], script)), stream)

program.run_program = write
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.id)
def test_a_command_pasted_into_a_terminal_gives_the_script_the_same_values(stage: Stage, place: Path) -> None:
    """Through a real sh, read by the real script in a process of its own; and by the rules of cmd and Windows."""
    forms: list[dict[str, Any]] = []

    @settings(SETTINGS, max_examples=3, derandomize=True)
    @given(typed_forms(stage, breaks=False))
    def draw(typed: dict[str, Any]) -> None:
        forms.append(typed)

    draw()
    draft = checked_form(stage, max(forms, key=len), place).draft
    _, own = split_values(draft.values)
    python, script, *argv = stage_argv(stage, own, REPO)
    reader, out = place / "reader.py", place / "read.json"
    reader.write_text(READ_BY_SCRIPT.format(repo=str(REPO)), encoding="utf-8")
    command = texts([python, str(reader), script, str(out), *argv])
    subprocess.run(["sh", "-c", command["sh"]], check=True, env={**os.environ, "PYTHONUTF8": "1"})
    assert said(json.loads(out.read_text(encoding="utf-8"))) == said(split_values(expected(stage, own))[1])
    whole = stage_argv(stage, draft.values, REPO)
    assert through_cmd(whole) == whole


def test_what_no_program_can_be_given_is_refused() -> None:
    specs = option_specs(STAGES["train"].options)
    for name, typed, key in [
        ("caption_prefix", "a\0b", "not_text"),
        ("caption_prefix", "a\ud800b", "not_text"),
        ("optimizer_args", ["a=1", "--resume"], "a_flag"),
        ("optimizer_args", "a=1 -x", "a_flag"),
        ("seed", "12345678901234567890.5", "not_whole"),
        ("seed", "1e999", "not_whole"),
    ]:
        with pytest.raises(BadValue) as caught:
            read_value(specs[name], typed)
        assert caught.value.key == key
    assert read_value(specs["seed"], "12345678901234567891.0") == 12345678901234567891
    assert read_value(specs["optimizer_args"], "-1 a=-1") == ["-1", "a=-1"]


def test_secrets_are_kept_nowhere(studio: Studio, pictures: Path) -> None:
    """Whatever way a secret is sent in: no answer says it again, and no file has it.

    That scripts write none either is tested with them: model, state, log and events, boards, output_config.
    """
    secret = {"huggingface_token": SECRET, "wandb_api_key": SECRET}
    values = {"pretrained_model_name_or_path": "owner/name", "output_dir": str(pictures), **secret}
    work = str(pictures.parent / "work")
    project = {"name": "p", "pictures": [str(pictures)], "model": "owner/name", "work_dir": work, "output_name": ""}
    studio.project_save(project)
    for confirm in (False, True):
        answers = [
            studio.check("train", values, "p"),
            studio.start("train", values, "p", confirm),
            studio.queue("train", values, "p", confirm),
            studio.pipeline("p", values={"train": values}, confirm=confirm, skip=["caption", "tag"]),
            studio.preset_save("train", "mine", "", values, confirm),
            studio.presets("train"),
            studio.preset_export("train", "mine"),
        ]
        assert not [answer for answer in answers if SECRET in json.dumps(answer)]
        assert "run_id" not in answers[1] | answers[2] and "chain" not in answers[3]
    for text in (
        json.dumps({"version": 2, "stage": "train", "name": "x", "description": "", "scope": "all", "values": values}),
        json.dumps({**values, "LoRA_type": "Standard", "epoch": 1}),
        f"python fine_tune.py --huggingface_token {SECRET} --wandb_api_key={SECRET} --seed 3",
        f"HF_TOKEN={SECRET} accelerate launch fine_tune.py --huggingface_token='{SECRET}'",
        f"huggingface_token = '{SECRET}'\nseed = 1\n",
    ):
        assert SECRET not in json.dumps(studio.preset_import("train", text))
    kept = [path for path in pictures.parents[1].rglob("*") if path.is_file()]
    assert len(kept) > 4
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
