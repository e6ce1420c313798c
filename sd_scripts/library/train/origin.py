"""Where a training begins: at its first step, where the options say, or where a state stands; and what a state of it
will say."""

import time
from pathlib import Path

from sd_scripts.library.data.training_data import TrainingData
from sd_scripts.library.models.family import Family
from sd_scripts.library.report import Report
from sd_scripts.library.team import Team
from sd_scripts.library.train import beginning, zero
from sd_scripts.library.train import state as states
from sd_scripts.library.train.branching import begun_anew
from sd_scripts.library.train.course import Course, Place, course_of
from sd_scripts.library.train.curves import Schedule
from sd_scripts.library.train.going_on import (
    branches_of,
    changed_pictures,
    changes_since,
    check_end,
    check_fits,
    check_models,
    check_parts,
    check_pictures,
    named_by,
    tell_pictures,
)
from sd_scripts.library.train.kept import Kept, KeptState
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.library.train.optimizing import choose_schedule
from sd_scripts.library.train.recovery import check_weights
from sd_scripts.library.train.shaping import Changes, fingerprint_of, shaping
from sd_scripts.library.train.shown import shown_of
from sd_scripts.library.train.state_facts import Facts, read_facts
from sd_scripts.library.train.validation import Standing
from sd_scripts.options.network import StartOptions
from sd_scripts.options.trainer import TrainerOptions


class Origin:
    """`state`: what the state says of itself that training goes on from; None: it goes on from none.

    `place` is where training stands, from its beginning on: who trains moves it. `plan` is always the fingerprint of
    the present epoch's plan.
    """

    def __init__(
        self,
        family: Family,
        method: Method,
        data: TrainingData,
        options: TrainerOptions,
        team: Team,
        report: Report,
        start: StartOptions | None = None,
    ) -> None:
        """Errors: BadOption, also where the state does not fit."""
        self._family, self._method, self._data, self._options = family.name, method, data, options
        self._report = report
        self._start = start or StartOptions()
        self._optimizer = optimizer_name(options.optimizer) + zero.kind(options, team.size)
        # As they are now: a file that is exchanged while training runs was not trained.
        self._shown = shown_of(data.images)
        self._pictures = fingerprint_of(data.images)
        self.state = self._read()
        self.seed = beginning.choose_seed(options.length.seed, self.state, bool(options.state.branch), team, report)
        self.place = self.state.place() if self.state else Place()
        self._shape = shaping(options, self.seed)
        self._changed = self._changes(self.state) if self.state else {}
        self.branches = branches_of(self.state, self._changed) if self.state else []
        self.standing = beginning.standing_of(self.state)

    def check_parts(self) -> None:
        """A state without a part that is trained is refused before latents are made. Errors: BadOption."""
        if self.state and not self._options.zero.deepspeed:
            check_parts(self._options.state, self._method.trained())

    def course(self, batches_per_epoch: int, plan: str) -> Course:
        """The whole way, over so many batches an epoch."""
        since = beginning.epochs_since(self.state, plan)
        return course_of(batches_per_epoch, self._options.length, since)

    def begin(self, course: Course) -> Schedule:
        """Puts training where it is to begin. Gives the curve of the rate, which begins there. Errors: BadOption."""
        if not self.state:
            beginning.begin_at(self.place, beginning.first_place(self._start, course), self._report)
        return self._curve(course, course.total_steps)

    def restore(self, contents: states.Contents, course: Course, plan: str, kept: Kept) -> list[float]:
        """Puts back what the state holds, where there is one; gives the last losses before it. Errors: BadOption."""
        state, source, options = self.state, self._options.state.source, self._options
        if state is None or source is None:
            return []
        check_end(self.place.step, course.total_steps, options.saving)
        anew = (
            begun_anew(state, self._changed, options, self._optimizer, self._report) if options.state.branch else None
        )
        states.restore(source, state, contents, anew)
        beginning.take_up(self.place, state, plan, options.schedule.lr_scheduler_type, self._report)
        if not set(vars(options.schedule)) & set(self._changed):
            then, now = (self._curve(course, steps) for steps in (state.total_steps, course.total_steps))
            beginning.tell_new_length(state, then, now, course.total_steps, self._report)
        kept.save = Path(source)
        if anew is None or anew.again(contents):
            kept.states.append(KeptState(kept.save, anew))
        for part, module in self._method.trained().items():
            check_weights(f"{kept.save / part}.safetensors", {part: module})
        return list(states.read_losses(source))

    def facts(self, course: Course, plan: str, standing: Standing) -> Facts:
        """What a state of this training says of itself where it stands now."""
        return Facts(
            step=self.place.step,
            epoch=self.place.epoch,
            window=self.place.window,
            seed=self.seed,
            plan=plan,
            method=self._method.kind,
            family=self._family,
            optimizer=self._optimizer,
            best_loss=standing.loss,
            best_step=standing.step,
            worse=standing.since,
            total_steps=course.total_steps,
            pictures=self._pictures,
            options=self._shape,
            branches=self.branches,
            saved_at=time.time(),
            shown=self._shown,
        )

    def _read(self) -> Facts | None:
        state = self._options.state
        if not state.source:
            return None
        facts = read_facts(state.source, named_by(state))
        check_fits(self._options, facts, self._method.kind, self._family, self._optimizer)
        if state.resume:
            check_models(self._options, facts)
            check_pictures(state.resume, facts, self._data.images, self._shown)
        return facts

    def _changes(self, facts: Facts) -> Changes:
        """Where options and pictures differ from those of the state; those of a branch's pictures are told."""
        state = self._options.state
        found = changes_since(facts, self._options)
        if state.branch:
            found |= changed_pictures(state.branch, self._shown)
            tell_pictures(state, facts, found, self._report)
        return found

    def _curve(self, course: Course, total_steps: int) -> Schedule:
        """The curve of the rate over a training of so many steps. Errors: BadOption."""
        first = beginning.first_place(self._start, course).step
        curve = choose_schedule(self._options.optimizer, self._options.schedule, max(1, total_steps - first))
        return lambda step: curve(step - first)
