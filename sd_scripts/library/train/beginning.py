"""Where a training begins: with a seed at its first step, or where a state stands."""

import random

from sd_scripts.library.report import Report
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.state import Facts
from sd_scripts.library.train.team import Team


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
