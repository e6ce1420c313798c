"""Where a training begins: with a seed at its first step, or where a state stands."""

import random

from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report
from sd_scripts.library.train.course import Course, Place
from sd_scripts.library.train.state import Facts
from sd_scripts.library.train.team import Team
from sd_scripts.options.network import StartOptions


def choose_seed(given: int | None, resumed: Facts | None, team: Team, report: Report) -> int:
    """The state's, the given one, or a new one; the same in all processes."""
    if resumed:
        if given not in (None, resumed.seed):
            text = f"The state goes on with its own seed {resumed.seed}; --seed {given} is not used."
            report.notice(text, "warning")
        return resumed.seed
    if given is not None:
        return given
    seed = team.agree(random.SystemRandom().randrange(2**32))
    report.notice(f"Seed {seed}.")
    return seed


def first_place(start: StartOptions, course: Course) -> Place:
    """Where the options have a training begin: at the start of an epoch, or within it. Errors: BadOption."""
    step = start.initial_step
    if step is None:
        step = ((start.initial_epoch or 1) - 1) * course.steps_per_epoch
    if step >= course.total_steps:
        option = "initial_step" if start.initial_step is not None else "initial_epoch"
        sentence = f"training ends at step {course.total_steps:,}, in epoch {course.epochs:,}. Begin earlier."
        raise BadOption(option, f"--{option} {getattr(start, option):,}: {sentence}")
    epoch, window = divmod(step, course.steps_per_epoch)
    window = window if start.skip_until_initial_step else 0
    return Place(epoch * course.steps_per_epoch + window, epoch, window)


def begin_at(place: Place, first: Place, report: Report) -> None:
    """Puts training where it is to begin."""
    place.step, place.epoch, place.window = first.step, first.epoch, first.window
    if place.step:
        report.notice(f"Beginning after step {place.step:,}, in epoch {place.epoch + 1}, without a state.")


def take_up(place: Place, resumed: Facts, plan: str, scheduler: str, report: Report) -> None:
    """Says where training goes on: at the state's `place`, set back to the start of its epoch where the plan differs.

    `plan`: the fingerprint of the epoch as it is now; `scheduler`: the class that sets the learning rate, if one does.
    """
    if place.window and resumed.plan != plan:
        place.window = 0
        text = "The pictures, the batch size or the accumulation differ from the state's: its epoch begins anew."
        report.notice(text, "warning")
    if scheduler:
        report.notice(f"{scheduler} goes on from the state, with the learning rates that stand there.")
    report.notice(f"Going on after step {place.step:,}, in epoch {place.epoch + 1}.")
