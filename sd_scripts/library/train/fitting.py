"""What tools/fit_memory.py does: tries ways of a training, tells them in a table, and writes what was found."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sd_scripts.library.config_output import config_text
from sd_scripts.library.errors import BadOption, NothingUsable, StoppedAsAsked, UserError
from sd_scripts.library.footprint.model import model_of
from sd_scripts.library.footprint.training import Model
from sd_scripts.library.io.atomic import check_writable, write_text
from sd_scripts.library.report import Report, counted
from sd_scripts.library.team import launched
from sd_scripts.library.train.expected_memory import PROCESS_BYTES, expected, largest_asked
from sd_scripts.library.train.fit import Trial, Values, all_failed, changed, fastest, last_resorts, search, ways
from sd_scripts.library.train.own_checks import OWN_CHECKS
from sd_scripts.library.train.script import ready_to_train
from sd_scripts.library.train.trials import Trials, device_here
from sd_scripts.options.cli import parse
from sd_scripts.options.config_file import config_path
from sd_scripts.options.fit import FitSearchOptions
from sd_scripts.options.output import ConsoleOptions
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import flat_values
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.values import flag_words

GB = 1e9
"""Bytes, as GPUs are sold by them."""

_USUAL_FREEDOM = ("precision",)


def fit(asked: FitSearchOptions, words: Sequence[str], report: Report) -> None:
    """Tries, tells and writes. Errors: UserError; NothingUsable, where nothing fits; StoppedAsAsked."""
    if launched().size > 1:
        raise BadOption("training", "fit_memory.py tries settings one after the other: start it without a launcher.")
    output = _place(asked.output) if asked.output else None
    options: TrainerOptions = parse(SCRIPTS[asked.training], list(words), asked.training)
    with tempfile.TemporaryDirectory(prefix="fit-memory-") as room:
        trials = _all_tried(options, asked, _checked_by(asked.training, room), report)
    best = fastest(trials)
    if best is None and report.stop_asked():
        raise StoppedAsAsked("Stopped as asked: nothing that fits was found so far.")
    if best is None:
        raise _none_fits(trials, asked)
    if output:
        write_text(output, config_text(changed(options, best.values)))
        report.saved(output, "config")
    chosen = [{"option": flag, "value": value} for flag, value in best.values.items()]
    among = " of those tried before the stop" if report.stop_asked() else ""
    told = f"The fastest that fits{among}: {_words(best.values, options)} ({_outcome(best)})."
    where = f" {output} has these options, for --config_file." if output else ""
    tables = {"tried": [_row(trial, options) for trial in trials], "chosen": chosen}
    report.summary(told + where, tables, tried=sum(not trial.skipped for trial in trials))


def _all_tried(
    options: TrainerOptions, asked: FitSearchOptions, check: Callable[[Any], None], report: Report
) -> list[Trial]:
    """The usual ways, and the last resorts where none of those fits. Errors: UserError."""
    check(options)
    here = device_here()
    limit_bytes = asked.memory_gb * GB if asked.memory_gb else here.memory_bytes
    whose = "memory" if here.kind == "cpu" else f"the memory of {here.name}"
    report.say(f"It may take {limit_bytes / GB:.1f} GB of {whose}.")
    attempt = Trials(asked.training, options, asked.steps, limit_bytes, here, report.stop_asked)
    expect = _expecting(options, on_cpu=here.kind == "cpu")
    candidates = ways(options, asked.also or _USUAL_FREEDOM, check)
    trials = _tried(candidates, expect, attempt, asked.most, report)
    if fastest(trials) is None and not all_failed(trials) and not report.stop_asked():
        trials += _tried(last_resorts(options, check), expect, attempt, asked.most, report)
    return trials


def _tried(
    candidates: list[Values], expect: Callable[[Values], float | None], attempt: Trials, most: int, report: Report
) -> list[Trial]:
    """All trials, each told as it ends; a stop ends the one at hand, a failure only its own."""
    found: list[Trial] = []
    report.phase("try", f"{counted(len(candidates), 'way')} to try", len(candidates))
    with suppress(StoppedAsAsked):
        for trial in report.each(search(candidates, attempt.limit_bytes, most, expect, attempt), len(candidates)):
            found.append(trial)
            words = _words(trial.values, attempt.options)
            report.say(f"  {words}: {_outcome(trial)}")
            if trial.failed:
                report.failed_item(words, trial.failed)
    return found


def _place(name: str) -> Path:
    """The file that will be written. Errors: BadOption, BadFile."""
    path = config_path(name)
    if Path(name).is_dir():
        raise BadOption("output", f"--output {name} is a folder. Name a file in it.")
    if path.exists():
        raise BadOption("output", f"--output {path} is there already, and nothing is replaced. Name another file.")
    check_writable(path)
    return path


def _checked_by(script: str, room: str) -> Callable[[Any], None]:
    """The checks of a training, which say nothing but what is wrong, and make folders in `room` only."""
    written, report = {"output_dir": room, "fallback_dir": None, "logging_dir": None}, Report()

    def check(options: Any) -> None:
        # With a console of its own for each, and the file that it may name, hundreds would be open.
        asked = replace(changed(options, written), console=ConsoleOptions())
        if not ready_to_train(asked, report, OWN_CHECKS[script]):
            raise BadOption("debug_dataset", "--debug_dataset shows pictures and trains nothing. Leave it out.")

    return check


def _expecting(options: TrainerOptions, on_cpu: bool) -> Callable[[Values], float | None]:
    """What the formula expects of changed options; None where it does not know the model."""
    model = _model(options)

    def expect(values: Values) -> float | None:
        given = changed(options, values)
        if model is None or given.zero.deepspeed:
            return None
        tensors = expected(given, model, largest_asked(given), given.length.train_batch_size, on_cpu).total
        return tensors + (PROCESS_BYTES if on_cpu else 0)

    return expect


def _model(options: TrainerOptions) -> Model | None:
    path = Path(options.model.pretrained_model_name_or_path or "")
    try:
        return model_of(path) if path.exists() else None
    except UserError:
        return None


def _words(values: Values, options: TrainerOptions) -> str:
    """What is changed, as on the command line; what goes back to its default, too, as it stood there."""
    given = [flag for flag in flat_values(options) if flag in values]
    on = [word for flag in given for word in flag_words(flag, values[flag]) if values[flag] is not None]
    off = [f"no --{flag}" for flag in given if values[flag] in (False, None)]
    return " ".join([*on, *off]) or "as it is"


def _outcome(trial: Trial) -> str:
    if trial.skipped or trial.failed:
        return "not tried" if trial.skipped else f"failed: {trial.failed.splitlines()[-1]}"
    took = f"{trial.peak_bytes / GB:.1f} GB" if trial.peak_bytes else "memory ran out"
    if trial.fits:
        return f"{trial.step_s:.2f} s a step, {took}"
    if not trial.peak_bytes:
        return took
    return f"too much memory (ended at {took})" if trial.cut else f"too much memory ({took})"


def _row(trial: Trial, options: TrainerOptions) -> dict[str, Any]:
    """A row of the table that the page shows."""
    return {
        "settings": _words(trial.values, options),
        "seconds a step": round(trial.step_s, 3) if trial.step_s and trial.fits else "",
        "GB": round(trial.peak_bytes / GB, 2) if trial.peak_bytes and not trial.cut else "",
        "expected GB": round(trial.expected_bytes / GB, 2) if trial.expected_bytes else "",
        "outcome": _kind(trial),
    }


def _kind(trial: Trial) -> str:
    kinds = {"fits": trial.fits, "not tried": trial.skipped, "failed": bool(trial.failed), "does not fit": True}
    return next(kind for kind, holds in kinds.items() if holds)


def _none_fits(trials: Sequence[Trial], asked: FitSearchOptions) -> UserError:
    failed = [trial.failed for trial in trials if trial.failed]
    if failed and all_failed(trials):
        return BadOption("training", f"The training cannot be tried: {failed[0]}")
    into = f"{asked.memory_gb:g} GB" if asked.memory_gb else "the memory"
    advice = "Use a smaller --resolution, --also precision clipping optimizer, or a network in place of a whole model"
    return NothingUsable(f"Nothing that was tried fits into {into}.{_least(trials)} {advice}.")


def _least(trials: Sequence[Trial]) -> str:
    """The least that a training takes, as far as is known: one that was ended at the limit takes more than was seen."""
    seen = min((trial.peak_bytes for trial in trials if trial.peak_bytes and not trial.cut), default=None)
    if seen:
        return f" The least that was seen is {seen / GB:.1f} GB."
    needs = min((trial.expected_bytes for trial in trials if trial.expected_bytes), default=None)
    return f" Each was ended at the limit; the least that is expected is {needs / GB:.1f} GB." if needs else ""
