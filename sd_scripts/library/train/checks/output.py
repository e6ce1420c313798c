"""What must be true of what a training writes: its folder, names, states and samples. Needs no torch."""

import tempfile
from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.leftovers import tidy
from sd_scripts.library.models.family import FileFormat
from sd_scripts.library.train.going_on import check_named, check_same
from sd_scripts.library.train.prompts import read_prompts
from sd_scripts.library.train.remote_state import parse_remote
from sd_scripts.library.train.saving import Names, Occasion, file_format
from sd_scripts.options.model import BaseModelOptions
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.training import LATEST, LoggingOptions, SampleOptions, SavingOptions, StateOptions

# File systems take 255 bytes; numbers, times and endings are added.
LONGEST_NAME_BYTES = 180
# A file of such a name, with any ending, cannot be made on Windows, nor copied there.
_PORTS = (f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))
WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", *_PORTS}


def check_output(options: TrainerOptions) -> None:
    """Checks names, what is kept, the state to go on from and the prompts of samples. Errors: BadOption."""
    check_saving(options.saving)
    check_targets(options)
    check_states(options.state, options.saving)
    check_same(options)
    check_samples(options.samples)
    check_log_names(options.logging)


def check_folders(options: TrainerOptions) -> None:
    """Makes the folders, the last thing before training begins. Errors: BadOption."""
    check_writable("output_dir", options.saving.output_dir)
    if options.saving.fallback_dir:
        check_writable("fallback_dir", options.saving.fallback_dir)
    if options.logging.logging_dir:
        check_writable("logging_dir", options.logging.logging_dir)


def check_saving(saving: SavingOptions) -> None:
    """There is a place and a name to save to, and what is to be removed is saved in the first place."""
    if not saving.output_dir:
        raise BadOption("output_dir", "--output_dir is needed: the folder for the trained model.")
    check_plain("output_name", saving.output_name)
    if saving.save_last_n_epochs and not (saving.save_every_n_epochs or saving.save_n_epoch_ratio):
        raise BadOption(
            "save_last_n_epochs", "--save_last_n_epochs needs --save_every_n_epochs or --save_n_epoch_ratio."
        )
    if saving.save_last_n_steps and not saving.save_every_n_steps:
        raise BadOption("save_last_n_steps", "--save_last_n_steps needs --save_every_n_steps.")


def check_log_names(logging: LoggingOptions) -> None:
    """What names folders of logs names no folder elsewhere."""
    check_plain("log_prefix", logging.log_prefix)
    check_plain("log_tracker_name", logging.log_tracker_name)


def check_targets(options: TrainerOptions) -> None:
    """The trained model takes the place of an earlier one at most: not of its base, nor of a folder of other things."""
    names, target = _names(options), last_target(options)
    for source in (options.model.pretrained_model_name_or_path, options.model.vae):
        if source and target.exists() and Path(source).exists() and target.samefile(source):
            raise BadOption("output_name", f"--output_name: {target} is what this training reads. Choose another name.")
    marks = {target: "model_index.json"}
    if options.state.save_state or options.state.save_state_on_train_end:
        marks[names.state(Occasion("last", 0))] = "state.json"
    for folder, mark in marks.items():
        if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file():
            sentence = f"--output_name: the folder {folder} is there already, with other things in it. Choose another."
            raise BadOption("output_name", sentence)


def last_target(options: TrainerOptions) -> Path:
    """The file or folder of the trained model, as it is written at the end."""
    last = _names(options).path(Occasion("last", 0))
    ending = file_format(options.format, format_of(options.model))
    return last if ending.startswith("diffusers") else last.with_name(f"{last.name}.{ending}")


def _names(options: TrainerOptions) -> Names:
    return Names(Path(options.saving.output_dir or ""), options.saving.output_name)


def format_of(model: BaseModelOptions) -> FileFormat:
    """The format that the base model has, by its name; a hub id is a diffusers folder."""
    endings: dict[str, FileFormat] = {".safetensors": "safetensors", ".ckpt": "ckpt"}
    return endings.get(Path(model.pretrained_model_name_or_path or "").suffix.lower(), "diffusers")


def check_states(state: StateOptions, saving: SavingOptions) -> None:
    """States that are to be removed are saved, and the one to go on from is there."""
    every = {
        "save_last_n_epochs_state": saving.save_every_n_epochs or saving.save_n_epoch_ratio,
        "save_last_n_steps_state": saving.save_every_n_steps,
    }
    for option, saved in every.items():
        if getattr(state, option) and not (state.save_state and saved):
            flag = "--save_every_n_epochs" if "epochs" in option else "--save_every_n_steps"
            raise BadOption(option, f"--{option} needs --save_state and {flag}.")
    if state.resume_from_huggingface:
        if not state.resume:
            raise BadOption("resume_from_huggingface", "--resume_from_huggingface needs --resume owner/name/path.")
        parse_remote(state.resume)
    if (named := state.source) and not state.resume_from_huggingface and named != LATEST and not Path(named).exists():
        # It may have been moved away by a program that was killed before the new one was in its place.
        tidy(Path(named).absolute().parent)
    check_named(state)


def check_samples(samples: SampleOptions) -> None:
    """Samples that are asked for have prompts, and the prompts can be read."""
    asked = samples.sample_at_first or samples.sample_every_n_steps or samples.sample_every_n_epochs
    if samples.sample_prompts:
        read_prompts(samples.sample_prompts)
    elif asked:
        raise BadOption("sample_prompts", "Samples need prompts: name a file with --sample_prompts.")


def check_writable(option: str, folder: str | None) -> None:
    """Makes the folder and writes a file into it, which is gone again afterwards."""
    try:
        Path(folder or "").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        tidy(Path(folder or ""))
    except OSError as error:
        sentence = f"--{option} {folder} cannot be written to: {error.strerror}. Choose another folder."
        raise BadOption(option, sentence) from error


def check_plain(option: str, name: str | None) -> None:
    """A name stays in its folder, and file systems take it, those of Windows too. Errors: BadOption."""
    if name and (any(sign in name for sign in '/\\:*?"<>|') or name in (".", "..") or not name.isprintable()):
        raise BadOption(option, f'--{option} "{name}" must be a plain name, without / \\ : * ? " < > |.')
    if name and (name.partition(".")[0].strip().upper() in WINDOWS_DEVICES or name[-1] in ". "):
        sentence = "Windows takes no such name for a file: it is a device's, or ends in a dot or a space."
        raise BadOption(option, f'--{option} "{name}": {sentence} Choose another.')
    if name and len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
        raise BadOption(
            option, f'--{option} "{name}" is too long for a file. Use {LONGEST_NAME_BYTES} letters or fewer.'
        )
