"""What is done when training cannot go on because its figures are no numbers: kept what is good, or back to it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import nn

from sd_scripts.library.errors import BadFile, LossNotFinite
from sd_scripts.library.models.family import Family
from sd_scripts.library.pausing import NotWritten
from sd_scripts.library.report import Report
from sd_scripts.library.team import Team
from sd_scripts.library.train import state as states
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.finite import MOST_IN_A_ROW, BrokenWeights, Trouble, Watch, broken_tensor
from sd_scripts.library.train.kept import Kept
from sd_scripts.library.train.learner import Learner
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.schedules import advance
from sd_scripts.library.train.state_facts import read_facts
from sd_scripts.options.model import BaseModelOptions
from sd_scripts.options.trainer import TrainerOptions

MOST_ROLLBACKS = 5


@dataclass
class Recovery:
    """`place` is where training stands, `keep_state` saves a state of it, `settle` waits for what
    is being written. All processes see the same figures."""

    options: TrainerOptions
    learner: Learner
    place: Place
    kept: Kept
    team: Team
    report: Report
    keep_state: Callable[[], None]
    settle: Callable[[], None]
    rollbacks: int = 0
    _watch: Watch = field(init=False)

    def watch(self, scales: bool) -> Watch:
        """What looks at each step's figures."""
        skips = self.options.trouble.on_nonfinite == "skip"
        self._watch = Watch(skips, scales, self.answer, self.report)
        return self._watch

    def check_weights(self) -> None:
        """Before they are saved: what is no numbers is no save to go on from. Errors: LossNotFinite."""
        if broken := self.team.agree(broken_tensor(self.learner.contents.modules)):
            self.answer(BrokenWeights(replace(self.place), *broken))

    def answer(self, trouble: Trouble | BrokenWeights) -> None:
        """Goes back to the newest state, or ends the training. Errors: LossNotFinite."""
        self.settle()
        goes_back = self.options.trouble.on_nonfinite == "rollback" and self.rollbacks < MOST_ROLLBACKS
        if goes_back and self._roll_back(trouble):
            return
        kept = self._keep(trouble)
        row = f" It is the last of {self._watch.row} such steps in a row." if self._watch.row >= MOST_IN_A_ROW else ""
        back = f" Training went back {self.rollbacks} times." if self.rollbacks else ""
        if goes_back:
            back += " There is no state that it could go back to."
        advice = ", ".join(advices(self.options, trouble))
        raise LossNotFinite(f"{trouble.words}.{row}{back} {kept} What may help: {advice}.")

    def _roll_back(self, trouble: Trouble | BrokenWeights) -> bool:
        """Puts weights and optimizer back to the newest state; the steps since then, with their pictures, are past."""
        state = self.team.agree(self.kept.newest_whole(self.report))
        stop = self.options.text_stop
        if state is None:
            return False
        folder, facts = state.folder, read_facts(str(state.folder))
        if stop is not None and facts.step < stop <= self.place.step:
            # What was made of captions since then is of other text encoders.
            return False
        states.restore(str(folder), facts, self.learner.contents, state.anew)
        self._bring_rates_along(facts.step)
        self.learner.steps.go_on()
        self.rollbacks += 1
        back = f"back to the weights and the optimizer of {folder.name}"
        count = f"{self.rollbacks} of at most {MOST_ROLLBACKS} times"
        text = f"{trouble.words}: {back}. What was learnt since step {facts.step:,} is left out ({count})."
        self.report.notice(text, "warning")
        return True

    def _bring_rates_along(self, step: int) -> None:
        """Steps are not taken back, so a scheduler object goes on from where training stands, as curves do."""
        scheduler = self.learner.contents.scheduler
        for _ in range(self.place.step - step if scheduler is not None else 0):
            advance(scheduler)

    def _keep(self, trouble: Trouble | BrokenWeights) -> str:
        """Saves the state before the step where that is asked for and possible; says what there is to go on from."""
        state, before = self.options.state, self.kept.save
        earlier = f"Last good save: {before}." if before else "Nothing was saved before."
        if not self.learner.steps.whole:
            return f"Other weights took that step before it was seen. {earlier}"
        if not (state.save_state or state.save_state_on_train_end) or not trouble.place.step:
            return earlier
        if broken_tensor(self.learner.contents.modules):
            return f"The weights are no numbers any more, so they are not saved. {earlier}"
        self.place.step, self.place.epoch, self.place.window = (
            trouble.place.step, trouble.place.epoch, trouble.place.window,
        )  # fmt: skip
        try:
            self.keep_state()
        except NotWritten as error:
            # Nobody who leaves that pause knows of the step: it is what ends the training.
            return f"The state before it is not saved. {error} {earlier}"
        saved = f"The state before it is saved: {self.kept.save}."
        return f"{saved} {earlier}" if before and before != self.kept.save else saved


def advices(options: TrainerOptions, trouble: Trouble | BrokenWeights) -> Iterator[str]:
    """What may help against figures that are no numbers, as far as it is not yet done."""
    precision, rate = options.precision, options.optimizer.learning_rate
    yield f"a lower --learning_rate than {rate:g}"
    if precision.mixed_precision == "fp16":
        yield "--mixed_precision bf16 instead of fp16"
    if precision.mixed_precision != "no" and not options.model.no_half_vae:
        yield "--no_half_vae"
    if not options.optimizer.max_grad_norm:
        yield "--max_grad_norm 1"
    if options.loss.min_snr_gamma is None:
        yield "--min_snr_gamma 5"
    if isinstance(trouble, BrokenWeights):
        if options.optimizer.optimizer_args:
            yield "the optimizer's usual values in place of --optimizer_args"
        return
    if options.trouble.on_nonfinite == "stop" and not _within_backward(options):
        yield "--on_nonfinite skip where that is rare"
    yield "a look at these pictures"


def check_all_weights(family: Family, method: Method, options: BaseModelOptions) -> None:
    """Weights that are no numbers are told as such, with their file, before the first step. Errors: BadFile."""
    base = options.pretrained_model_name_or_path or ""
    if method.begun_from:
        check_weights(method.begun_from, method.trained())
    check_weights(base, {"unet": family.unet, **family.text_encoders})
    check_weights(options.vae or base, {"vae": family.vae})


def check_weights(file: str, modules: Mapping[str, nn.Module]) -> None:
    """Raises BadFile where a tensor that a file gave is no numbers: nothing could be learnt with it."""
    broken = broken_tensor(modules)
    if broken:
        part, name = broken
        sentence = "holds NaN or infinite numbers, so nothing can be learnt with it. Use another copy of the file."
        raise BadFile(f"{file}: the tensor {name} of its {part} {sentence}")


def _within_backward(options: TrainerOptions) -> bool:
    return options.precision.fused_backward_pass or bool(options.groups.portions) or options.zero.deepspeed
