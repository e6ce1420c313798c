"""Where a training begins: with a seed at its first step, or where a state stands."""

import random

from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report
from sd_scripts.library.team import Team
from sd_scripts.library.train.course import Course, Place
from sd_scripts.library.train.curves import Schedule
from sd_scripts.library.train.state_facts import Facts
from sd_scripts.library.train.validation import Standing
from sd_scripts.options.network import StartOptions


def choose_seed(given: int | None, resumed: Facts | None, branch: bool, team: Team, report: Report) -> int:
    """The state's, the given one, or a new one; the same in all processes. A branch may have another."""
    if resumed and not (branch and given is not None):
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


def epochs_since(resumed: Facts | None, plan: str) -> tuple[int, int]:
    """The step that the state's epoch began with, or begins anew with, and how many epochs there were before.

    `plan`: the fingerprint of the epoch as it is now.
    """
    if resumed is None:
        return 0, 0
    return resumed.step - (resumed.window if resumed.plan == plan else 0), resumed.epoch


def standing_of(resumed: Facts | None) -> Standing:
    """How the validations so far went."""
    return Standing(resumed.best_loss, resumed.best_step, resumed.worse) if resumed else Standing()


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


def tell_new_length(resumed: Facts, then: Schedule, now: Schedule, total_steps: int, report: Report) -> None:
    """Says what another length of training does to the learning rate: a schedule that is drawn over it all changes."""
    step = resumed.step
    if resumed.total_steps in (0, total_steps) or then(step) == now(step):
        return
    text = (
        f"Training ends at step {total_steps:,} now, not at {resumed.total_steps:,}, and its schedule is drawn over all"
        f" steps: the learning rate goes on at {now(step):.3g} times its full height, not at {then(step):.3g}."
    )
    report.notice(text, "warning")
