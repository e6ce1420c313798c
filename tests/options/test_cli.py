"""The command line: every flag of the frozen tables, and one sentence for everything that is wrong."""

import json
from pathlib import Path
from subprocess import run
from sys import executable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library.errors import BadOption
from sd_scripts.options.cli import parse
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.metadata import CleanOptions, MergeCaptionsOptions
from sd_scripts.options.refused import REFUSED
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, flat_values, from_values, option_specs
from sd_scripts.options.values import changed_values, read_value, to_argv

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "cli"
KINDS = {"int": "int", "float": "float", "str": "str", "Path": "str", "int_or_float": "number", "switch": "bool"}


def table(script: str) -> dict:
    return json.loads((GOLDEN / script.replace("/", "__").replace(".py", ".json")).read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_stands_in_the_frozen_table(script: str) -> None:
    specs = option_specs(SCRIPTS[script])
    frozen = table(script)
    aliases = {name for spec in specs.values() for name in spec.former}
    works = {name for name, row in frozen["flags"].items() if row["status"] == "works"}
    assert works | set(frozen["ours"]) == set(specs)
    # A script that sd-scripts does not have shares aliases with those that it has.
    expected = aliases if frozen["flags"] else set()
    assert {name for name, row in frozen["flags"].items() if row["status"] == "alias"} == expected
    refused = {name: row["sentence"] for name, row in frozen["flags"].items() if row["status"] == "refused"}
    assert refused == REFUSED.get(Path(script).stem, {})


@pytest.mark.parametrize("script", SCRIPTS)
def test_types_defaults_and_choices_are_those_of_sd_scripts(script: str) -> None:
    specs = option_specs(SCRIPTS[script])
    for name, row in table(script)["flags"].items():
        if row["status"] != "works":
            continue
        spec = specs[name]
        assert spec.kind == KINDS[row["type"]], name
        assert spec.default == row.get("our_default", row["default"]), name
        assert spec.many == row.get("many", False), name
        assert spec.positional == row.get("positional", False), name
        # 75 tokens is ours: it says the default aloud.
        assert set(spec.choices) - {75} == set(row.get("choices", [])), name
        assert spec.help.endswith((".", '"')), name


@pytest.mark.parametrize("script", [s for s in SCRIPTS if (ROOT / "sd_scripts" / s).exists()])
def test_help_is_quick_and_complete(script: str) -> None:
    resource = pytest.importorskip("resource", reason="CPU time is not told on this system")

    def cpu_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run([executable, ROOT / "sd_scripts" / script, "--help"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert all(name in done.stdout for name in option_specs(SCRIPTS[script]))
        return float(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    # CPU time, since tests run side by side: it is what the wall clock shows on a machine that does nothing else. Cores
    # that share their caches with others' work take longer for the same; so one quick time of twenty is enough.
    assert any(cpu_s() < 0.5 for _ in range(20))


def test_refused_flags_say_why() -> None:
    with pytest.raises(BadOption, match="^--tokenizer_cache_dir is not needed: the tokenizer comes with this program."):
        parse(FineTuneOptions, ["--tokenizer_cache_dir=there"], "fine_tune.py")


SENTENCES = {
    ("--learning_rate", "abc"): '--learning_rate abc: "abc" is not a number. Write 1e-5 or 0.00001.',
    ("--learning_rat", "1"): "There is no option --learning_rat. Did you mean --learning_rate?",
    ("--learning_rate", "-1"): "--learning_rate -1.0: Must be 0 or more.",
    ("--train_batch_size", "2.5"): "--train_batch_size 2.5: 2.5 must be a whole number.",
    ("--train_batch_size", "0"): "--train_batch_size 0: Must be 1 or more.",
    ("--mixed_precision", "fp8"): '--mixed_precision fp8: "fp8" is not one of no, fp16, bf16.',
    ("--max_token_length", "77"): '--max_token_length 77: "77" is not one of 75, 150, 225.',
    ("extra",): '"extra" is one argument too many. Put quotes around names with spaces.',
    ("--v2", "true"): "--v2 true: it is a switch. Write --v2 alone to turn it on, or leave it out.",
    ("--v2=False",): "--v2 False: it is a switch. Write --v2 alone to turn it on, or leave it out.",
    ("--v2", "extra"): '"extra" is one argument too many. Put quotes around names with spaces.',
    ("\u2014sdpa",): '"\u2014sdpa" begins with a long dash. Write two short ones: --sdpa.',
    ("\u2013-seed", "1"): '"\u2013-seed" begins with a long dash. Write two short ones: --seed.',
    ("--qqq",): "There is no option --qqq. --help lists all options.",
}


@pytest.mark.parametrize(("argv", "sentence"), SENTENCES.items())
def test_what_is_wrong_is_one_sentence(argv: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadOption) as caught:
        parse(FineTuneOptions, list(argv), "fine_tune.py")
    assert str(caught.value) == sentence


def test_missing_value_and_missing_positional() -> None:
    with pytest.raises(BadOption, match="^--seed needs a value: "):
        parse(FineTuneOptions, ["--seed"], "fine_tune.py")
    with pytest.raises(BadOption, match="^out_json is needed: Metadata file to write."):
        parse(MergeCaptionsOptions, ["folder"], "merge_captions_to_metadata.py")


def test_former_spellings_and_the_third_positional() -> None:
    options = parse(MergeCaptionsOptions, ["a", "b", "--caption_extention", ".x"], "merge_captions_to_metadata.py")
    assert options.files.caption_extension == ".x"
    assert parse(CleanOptions, ["a", "b", "c"], "clean_captions_and_tags.py").third_file == "c"


def test_the_last_of_two_equal_flags_wins() -> None:
    options = parse(FineTuneOptions, ["--seed", "1", "--seed=2"], "fine_tune.py")
    assert options.length.seed == 2


@pytest.mark.parametrize("argv", [["--lr_warmup_steps", "10%"], ["--lr_warmup_steps=10%"]])
def test_a_share_of_all_steps_may_be_given_in_percent(argv: list[str]) -> None:
    assert parse(FineTuneOptions, argv, "fine_tune.py").schedule.lr_warmup_steps == 0.1
    with pytest.raises(BadOption, match="--lr_warmup_steps 1.0.%: "):
        parse(FineTuneOptions, ["--lr_warmup_steps", "1.0.%"], "fine_tune.py")
    with pytest.raises(BadOption, match="--seed 10%: "):
        parse(FineTuneOptions, ["--seed", "10%"], "fine_tune.py")


WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)


def typed(spec: OptionSpec) -> st.SearchStrategy:
    low = spec.range.low if spec.range.low is not None else -1e6
    high = spec.range.high if spec.range.high is not None else 1e6
    floats = st.floats(low, high, allow_nan=False).map(lambda x: x + 0.0)
    one = {
        "bool": st.booleans(),
        "int": st.integers(int(low), int(high)),
        "float": floats,
        "number": st.one_of(st.integers(int(low), int(high)), floats),
        "str": WORDS,
    }[spec.kind]
    if spec.choices:
        one = st.sampled_from(spec.choices)
    return st.lists(one.filter(lambda w: not str(w).startswith("-")), min_size=1, max_size=3) if spec.many else one


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("script", SCRIPTS)
def test_values_survive_the_command_line(script: str, data: st.DataObject) -> None:
    specs = option_specs(SCRIPTS[script])
    positional = [name for name, spec in specs.items() if spec.required]
    chosen = data.draw(st.lists(st.sampled_from(sorted(set(specs) - {"third_file", "config_file"})), unique=True))
    names = [name for name in specs if name in {*positional, *chosen}]
    values = {name: data.draw(typed(specs[name])) for name in names}
    values = {n: v for n, v in values.items() if not (specs[n].positional and str(v).startswith("-"))}
    if len([n for n in values if n in positional]) < len(positional):
        return
    options = parse(SCRIPTS[script], to_argv(SCRIPTS[script], values), Path(script).name)
    assert changed_values(SCRIPTS[script], flat_values(options)) == changed_values(SCRIPTS[script], values)


@pytest.mark.parametrize("script", SCRIPTS)
def test_values_survive_a_form(script: str) -> None:
    specs = option_specs(SCRIPTS[script])
    typed_values = {name: {"str": "x", "bool": "true"}.get(spec.kind, "1") for name, spec in specs.items()}
    for name, spec in specs.items():
        if spec.choices:
            typed_values[name] = str(spec.choices[0])
        elif spec.range.low is not None and spec.range.low > 1:
            typed_values[name] = str(int(spec.range.low))
    values = {name: read_value(specs[name], text) for name, text in typed_values.items()}
    assert flat_values(from_values(SCRIPTS[script], values)) == values


@pytest.mark.parametrize("empty", ["", None])
def test_empty_means_the_default(empty: str | None) -> None:
    assert read_value(option_specs(FineTuneOptions)["learning_rate"], empty) == 2e-6
    assert read_value(option_specs(FineTuneOptions)["learning_rate"], 0) == 0
