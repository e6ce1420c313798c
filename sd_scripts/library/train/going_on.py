"""Three ways to go on: resume (all as it was), branch (with changed options), or from weights, which have options of
their own with each method. What can be said of the first two before a model is loaded. Needs no torch.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from sd_scripts.library import events
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadOption, NothingToDo
from sd_scripts.library.report import Report, counted
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.library.train.remote_state import fetch_state
from sd_scripts.library.train.saving import Names
from sd_scripts.library.train.shaping import MODELS, Changes, changes, fingerprint_of, listed, shaping
from sd_scripts.library.train.shown import Shown, differences, named, read_shown
from sd_scripts.library.train.shown import listed as listed_pictures
from sd_scripts.library.train.state_facts import FACTS, Facts, read_facts
from sd_scripts.library.train.state_files import AVERAGES, damage, newest_first, whole_beside
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.training import LATEST, SavingOptions, StateOptions


def check_named(state: StateOptions) -> None:
    """The state to go on from is there, and named once. Errors: BadOption."""
    if state.resume and state.branch:
        sentence = "--branch and --resume are two ways to go on from a state: with changed options, or with the same."
        raise BadOption("branch", f"{sentence} Leave one out.")
    option, folder = named_by(state), state.source
    on_hub = state.resume_from_huggingface
    if folder and not on_hub and state.resume != LATEST and not (Path(folder) / FACTS).is_file():
        what = f"no state (it has no {FACTS})" if Path(folder).is_dir() else "no such folder"
        sentence = f"there is {what}. Name a folder whose name ends in -state."
        if Path(folder).name.endswith("-state") and (other := whole_beside(Path(folder))):
            sentence = f"there is {what}. The newest whole state beside it is {other}."
        raise BadOption(option, f"--{option} {folder}: {sentence}")


def named_by(state: StateOptions) -> str:
    """The option that names the state."""
    return "branch" if state.branch else "resume"


def check_same(options: TrainerOptions) -> None:
    """What resumes has the options of its state, as far as they shape training. Errors: BadOption."""
    folder = options.state.resume
    if not folder or folder == LATEST or options.state.resume_from_huggingface:
        return
    _refuse(folder, changes_since(read_facts(folder), options))


def check_models(options: TrainerOptions, facts: Facts) -> None:
    """The same of the models alone: one of the hub is known by its content once it was fetched. Errors: BadOption."""
    if options.state.resume:
        found = changes_since(facts, options)
        _refuse(options.state.resume, {name: change for name, change in found.items() if name in MODELS})


def _refuse(folder: str, found: Changes) -> None:
    if found:
        what = ", ".join(f"--{listed(name, change)}" for name, change in found.items())
        way = f"Set that back, or go on with --branch {folder}, which lists what changed."
        raise BadOption("resume", f"--resume {folder}: its options are not those of now: {what}. {way}")


def changes_since(facts: Facts, options: TrainerOptions) -> Changes:
    """Where the options that shape training differ from those of a state. Errors: BadOption."""
    return changes({**(facts.options or {}), "seed": facts.seed}, shaping(options))


def settle(options: TrainerOptions, kind: str, report: Report) -> None:
    """Finds the state to go on from, on the hub or as the latest one, and says whether it fits a method of this kind.

    Afterwards the options name a whole state on this machine, or none. Errors: BadOption; NothingToDo, where the latest
    one is the end.
    """
    state = options.state
    if state.resume_from_huggingface:
        state.resume = str(fetch_state(state.resume or "", options.hub.huggingface_token, report))
        state.resume_from_huggingface = False
    latest = state.resume == LATEST
    if latest:
        state.resume = _latest(options.saving, report)
    elif state.source:
        report.phase("check_state", f"Checking the state {state.source}")
        check_whole(named_by(state), Path(state.source))
    if state.source:
        facts = read_facts(state.source, named_by(state))
        check_same(options)
        if latest:
            _check_left(facts, options)
        check_asked(state.source, facts, kind, options)
        _tell(facts, options, report)


def _check_left(facts: Facts, options: TrainerOptions) -> None:
    """Raises NothingToDo where the training whose latest state it is has come to its end, and its model is there."""
    epochs = options.length.max_train_epochs
    ended = facts.step == options.length.max_train_steps if epochs is None else facts.epoch == epochs
    if ended and any(names.has_last(facts.step) for names in _places(options.saving)):
        text = f"Training has ended at step {facts.step:,}, and nothing is left to do."
        raise NothingToDo(f"{text} Ask for more steps or epochs.")


def _tell(facts: Facts, options: TrainerOptions, report: Report) -> None:
    """What a user should know of how this run goes on."""
    if facts.options is None:
        text = "The state is of an earlier version, which kept no options: they are not compared."
        report.notice(text, "warning")
    if not options.state.branch:
        return
    found = changes_since(facts, options)
    report.notice(
        f"A branch of {options.state.branch}, after step {facts.step:,}, with {counted(len(found), 'changed option')}."
    )
    for name, change in found.items():
        report.say(f"  {listed(name, change)}")
    report.emit(events.Branched(state=options.state.branch, step=facts.step, changes=_as_lists(found)))


def _as_lists(found: Changes) -> dict[str, list[object]]:
    return {name: list(change) for name, change in found.items()}


def branches_of(facts: Facts, found: Changes) -> list[dict[str, object]]:
    """Where options changed on the way here, with what changes now: for the state's record and the model's header."""
    here = {"step": facts.step, "changes": _as_lists(found)}
    return [*facts.branches, here] if found else facts.branches


def changed_pictures(folder: str, shown: Sequence[Shown]) -> Changes:
    """Where the pictures, their texts and sizes differ from those of a state, as far as it tells them."""
    before = read_shown(Path(folder))
    found = [] if before is None else differences(before, shown)
    return {"pictures": listed_pictures(found)} if found else {}


def tell_pictures(state: StateOptions, facts: Facts, found: Changes, report: Report) -> None:
    """Says which pictures differ in a branch, once they are known; `found`: all that changed in it."""
    if "pictures" in found:
        report.notice(f"The branch has other pictures or texts: {listed('pictures', found['pictures'])}.")
        report.emit(events.Branched(state=state.branch or "", step=facts.step, changes=_as_lists(found)))


def _latest(saving: SavingOptions, report: Report) -> str | None:
    """The newest whole state of this output; what is not whole is told and left out. None: there is none."""
    places = _places(saving)
    for state in newest_first([state for names in places for state in names.states()]):
        if (wrong := damage(state)) is None:
            report.notice(f"The latest state is {state}.")
            return str(state)
        report.notice(f"The state {state} is left out: {wrong}.", "warning")
    name, where = saving.output_name or "last", " or ".join(str(names.folder) for names in places)
    report.notice(f"There is no state of {name} in {where} to resume: training begins at its first step.")
    return None


def _places(saving: SavingOptions) -> list[Names]:
    """Where this output lies: what could not be written into the one folder lies in the other."""
    folders = filter(None, (saving.output_dir or ".", saving.fallback_dir))
    return [Names(Path(folder), saving.output_name) for folder in folders]


def check_whole(option: str, folder: Path) -> None:
    """Raises BadOption where a state is not as it was written, with the newest one beside it that is."""
    wrong = damage(folder)
    if wrong is None:
        return
    other = whole_beside(folder)
    instead = f"The newest whole state beside it is {other}." if other else "There is no whole state beside it."
    raise BadOption(option, f"--{option} {folder}: {wrong}. {instead}")


def check_fits(options: TrainerOptions, facts: Facts, method: str, family: str, optimizer: str) -> None:
    """Raises BadOption where the state is of another kind of training; a branch may have another optimizer."""
    same = [("method", facts.method, method), ("kind of model", facts.family, family)]
    if not options.state.branch or "DeepSpeed" in optimizer:
        same.append(("optimizer", facts.optimizer, optimizer))
    for what, saved, now in same:
        if saved != now:
            option = named_by(options.state)
            sentence = f"its {what} is {saved}, and this run's is {now}."
            raise BadOption(option, f"--{option} {options.state.source}: {sentence}")


def check_asked(folder: str, facts: Facts, method: str, options: TrainerOptions) -> None:
    """What the options alone tell of whether training can go on from a state. Errors: BadOption."""
    if options.length.max_train_epochs is None:
        check_end(facts.step, options.length.max_train_steps, options.saving)
    own = optimizer_name(options.optimizer)
    same = facts.optimizer.partition(" ")[0] == own
    check_fits(options, facts, method, facts.family, facts.optimizer if same else own)
    asked = options.schedule.lr_scheduler_type
    if asked and not options.state.branch and not (Path(folder) / "scheduler.pt").is_file():
        sentence = f"it was saved without --lr_scheduler_type {asked}. Leave that out, or choose another state."
        raise BadOption("resume", f"--resume {folder}: {sentence}")


def check_end(step: int, total_steps: int, saving: SavingOptions) -> None:
    """Raises BadOption where nothing is left to train. What was ended between its last state and its model goes on."""
    lacks_model = step == total_steps and not any(names.has_last(step) for names in _places(saving))
    if step >= total_steps and not lacks_model:
        text = f"The state stands at step {step:,}, and training ends at {total_steps:,}."
        raise BadOption("max_train_steps", f"{text} Ask for more steps or epochs.")


def check_pictures(folder: str, facts: Facts, images: Sequence[TrainImage], shown: Sequence[Shown]) -> None:
    """Raises BadOption where pictures or texts are not those that the state was trained on; names the first of them.

    `shown`: what is known of the images.
    """
    before = read_shown(Path(folder))
    found = [] if before is None else differences(before, shown)
    if found or (facts.pictures and facts.pictures != fingerprint_of(images)):
        sentence = "pictures, texts or sizes are not what they were when it was saved"
        sentence += f": {named(found)}" if found else ""
        way = f"Put them back, or go on with what is there now by --branch {folder}."
        raise BadOption("resume", f"--resume {folder}: {sentence}. {way}")


def check_parts(state: StateOptions, parts: Collection[str]) -> None:
    """Raises BadOption where a part that is to be trained was not, or the other way round."""
    option, folder = named_by(state), Path(state.source or "")
    for name in (f"{part}.safetensors" for part in parts):
        if not (folder / name).is_file():
            sentence = f"it has no {name}: that part was not trained. Train as when it was saved."
            raise BadOption(option, f"--{option} {folder}: {sentence}")
    trained = {file.name for file in folder.glob("*.safetensors")} - {AVERAGES}
    left = sorted(trained - {f"{part}.safetensors" for part in parts})
    if left:
        sentence = f"it has {left[0]} too, and what was learnt in that part would be lost. Train that part too."
        raise BadOption(option, f"--{option} {folder}: {sentence}")
