"""What the training program refuses before it loads a model the page has refused: asked of options and their pairs."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from kohya_gui.launching import processes
from kohya_gui.stages import STAGES
from sd_scripts.library.errors import UserError
from sd_scripts.library.train.checks.training import check_training
from sd_scripts.library.train.own_checks import OWN_CHECKS
from sd_scripts.library.train.shaping import shaping
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, from_values, option_specs
from tests.gui_server.test_preflight import SDXL, Place
from tests.states import write_state

MACHINE: list[tuple[str, Any]] = [
    ("mixed_precision", "fp16"), ("mixed_precision", "bf16"), ("full_fp16", True), ("full_bf16", True),
    ("stochastic_rounding", True), ("gradient_checkpointing", True), ("gradient_checkpointing_levels", 2),
    ("fp8_base", True), ("fused_backward_pass", True), ("fused_optimizer_groups", 2), ("torch_compile", True),
    ("dynamo_backend", "eager"), ("compile_mode", "reduce-overhead"), ("compile_mode", "max-autotune"),
    ("compile_dynamic", "false"), ("compile_cache_size_limit", 4), ("deepspeed", True), ("on_oom", "retry"),
    ("on_nonfinite", "skip"), ("on_nonfinite", "rollback"), ("gradient_accumulation_steps", 2), ("num_processes", 2),
    ("ddp_static_graph", True), ("train_text_encoder", True),
]  # fmt: skip
# The page knows the model's file, what the launcher would refuse, and buckets that the script makes later on.
OF_THE_PAGE = {"v2", "num_machines", "machine_rank", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("agrees"))


def refused(stage: str, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str | None, str]:
    """(the option, the sentence) of what the script says first; the launcher tells it by the environment how many
    processes there are."""
    options = from_values(STAGES[stage].options, values)
    with monkeypatch.context() as started:
        started.setenv("WORLD_SIZE", str(processes(values)))
        try:
            OWN_CHECKS[STAGES[stage].script](options)
            check_training(options)
        except UserError as error:
            return getattr(error, "option", None), str(error)
    return None, ""


def differ(place: Place, stage: str, typed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """How the page's answer differs from the script's; "" where both refuse the same option, or none."""
    checked = place.look(stage, typed)
    blamed = {one.field for one in checked.findings if one.level == "error"} - OF_THE_PAGE
    option, sentence = refused(stage, checked.draft.values, monkeypatch)
    if option and option not in blamed:
        return f"{option}: {sentence} The page blames {blamed}."
    return f"The page alone blames {blamed}." if blamed and not sentence else ""


def others(spec: OptionSpec) -> Iterator[Any]:
    """Values of an option that differ from its default and need no file."""
    if spec.kind == "bool":
        yield not spec.default
    elif spec.choices:
        yield from (choice for choice in spec.choices if choice != spec.default)
    elif spec.kind != "str":
        yield 2 if spec.kind == "int" else 0.5


@pytest.mark.parametrize("stage", ["train", "train_lora", "train_hypernetwork", "sdxl_full"])
def test_what_the_program_refuses_of_an_option_the_page_refuses(place: Place, stage: str, monkeypatch) -> None:
    base = STAGES[stage].usual | place.training()
    base |= {"pretrained_model_name_or_path": place.model(SDXL)} if STAGES[stage].family == "sdxl" else {}
    specs = [spec for spec in option_specs(STAGES[stage].options).values() if not (spec.path or spec.many)]
    asked = [(spec.name, value) for spec in specs for value in others(spec)]
    found = {one: differ(place, stage, base | dict([one]), monkeypatch) for one in asked}
    assert not {one: how for one, how in found.items() if how}


def test_what_the_program_refuses_of_two_options_the_page_refuses(place: Place, monkeypatch) -> None:
    base = place.training()
    found = {
        pair: differ(place, "train", base | dict(pair), monkeypatch)
        for pair in itertools.combinations(MACHINE, 2)
        if pair[0][0] != pair[1][0]
    }
    assert not {pair: how for pair, how in found.items() if how}


@pytest.mark.parametrize(
    ("typed", "flag", "offered"),
    [
        ({"stochastic_rounding": True}, "stochastic_rounding", ["Turn on: Weights in bf16", "Reset:"]),
        ({"gradient_checkpointing_levels": 2}, "gradient_checkpointing_levels", ["Turn on: Save memory", "Reset:"]),
        ({"compile_dynamic": "false"}, "compile_dynamic", ["Turn on: Compile", "Reset:"]),
        (
            {"torch_compile": True, "compile_mode": "max-autotune"},
            "compile_mode",
            ["One code for all sizes: false", "Reset:"],
        ),
        (
            {"fused_optimizer_groups": 2, "mixed_precision": "fp16"},
            "fused_optimizer_groups",
            ["Precision: bf16", "Reset:"],
        ),
        (
            {"fused_optimizer_groups": 2, "mixed_precision": "fp16", "gradient_accumulation_steps": 2},
            "fused_optimizer_groups",
            ["Reset:"],
        ),
        ({"keep_best": True}, "keep_best", ["Pictures held out: 0.1", "Reset:"]),
        ({"masked_loss": True}, "masked_loss", ["Turn on:", "Reset:"]),
        ({"on_nonfinite": "rollback"}, "on_nonfinite", ["Turn on: Save states", "Reset:"]),
    ],
)
def test_what_the_program_refuses_is_mended_by_a_button(place: Place, typed, flag: str, offered) -> None:
    def errors(values: dict[str, Any]) -> list[Any]:
        return [one for one in place.look("train", values).findings if one.level == "error"]

    given = place.training(**typed)
    (wrong,) = errors(given)
    assert wrong.field == flag
    labels = [fix.label for fix in wrong.fixes]
    assert len(labels) == len(offered) and all(map(str.startswith, labels, offered)), labels
    for fix in wrong.fixes:
        assert not errors(given | fix.values), fix


def test_a_state_of_two_processes_goes_on_in_two(place: Place, monkeypatch) -> None:
    given = place.training(train_batch_size=1)
    options = from_values(SCRIPTS[STAGES["train"].script], place.look("train", given).draft.values)
    with monkeypatch.context() as started:
        started.setenv("WORLD_SIZE", "2")
        state = write_state(place.root / "two-state", options=shaping(options))

    def said(**typed: object) -> list[str]:
        found = place.look("train", given | {"resume": str(state)} | typed).findings
        return [one.text for one in found if (one.level, one.field) == ("error", "resume")]

    (sentence,) = said()
    assert "--train_batch_size 2 -> 1" in sentence
    assert said(num_processes=2) == [] == said(train_batch_size=2)
