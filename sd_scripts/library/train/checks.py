"""What must be true before a model is loaded; each finding is a BadOption. Needs no torch."""

import tempfile
from pathlib import Path

from sd_scripts.library.data.read_dataset import rules_of
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.metadata import read_metadata
from sd_scripts.library.models.family import FileFormat
from sd_scripts.library.models.paths import check_name
from sd_scripts.library.train.about import check_about
from sd_scripts.library.train.boards import check_boards
from sd_scripts.library.train.noise_checks import check_noise
from sd_scripts.library.train.optimizers import optimizer_name, read_arguments
from sd_scripts.library.train.prompts import read_prompts
from sd_scripts.library.train.remote_state import parse_remote
from sd_scripts.library.train.saving import Names, Occasion, file_format
from sd_scripts.library.train.schedules import schedule_name
from sd_scripts.library.train.settings import TrainingSettings
from sd_scripts.library.train.upload import check_upload
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.training import AttentionOptions, PrecisionOptions, SampleOptions, SavingOptions, StateOptions

# File systems take 255 bytes; numbers, times and endings are added.
LONGEST_NAME_BYTES = 180


def check_training(options: TrainingSettings) -> None:
    """Checks what can be checked without torch and without reading the model. Errors: BadOption."""
    check_model(options.model, options.text)
    check_data(options.data.in_json, options.data.train_data_dir)
    rules_of(options.resolution)
    check_attention(options.attention)
    check_precision(options.precision)
    check_saving(options.saving)
    check_targets(options)
    check_states(options.state, options.saving)
    check_upload(options.hub, options.state)
    check_samples(options.samples)
    check_noise(options)
    schedule_name(options.schedule)
    optimizer_name(options.optimizer)
    read_arguments(options.optimizer.optimizer_args or [])
    _plain_name("log_prefix", options.logging.log_prefix)
    _plain_name("log_tracker_name", options.logging.log_tracker_name)
    check_boards(options.logging)
    check_about(options.about)
    writable("output_dir", options.saving.output_dir)
    if options.logging.logging_dir:
        writable("logging_dir", options.logging.logging_dir)


def check_model(model: ModelOptions, text: TextEncodingOptions) -> None:
    """A base model is named; clip_skip stands only where it has a meaning."""
    option = "pretrained_model_name_or_path"
    if not model.pretrained_model_name_or_path:
        raise BadOption(option, f"--{option} is needed: a .safetensors or .ckpt file, a diffusers folder or a hub id.")
    if model.v2 and text.clip_skip is not None:
        raise BadOption(
            "clip_skip", "--clip_skip is not for --v2: Stable Diffusion 2 uses its last but one layer by itself."
        )


def check_names(model: ModelOptions) -> None:
    """The model and the VAE are there, or could be on the hub. Errors: BadFile."""
    check_name(model.pretrained_model_name_or_path or "")
    if model.vae:
        check_name(model.vae)


def check_data(in_json: str | None, train_data_dir: str | None) -> None:
    """The metadata file and the folder of pictures are there."""
    if not in_json:
        raise BadOption("in_json", "--in_json is needed: the metadata file that names the pictures and their texts.")
    read_metadata(in_json)
    if train_data_dir and not Path(train_data_dir).is_dir():
        raise BadOption("train_data_dir", f"--train_data_dir {train_data_dir}: there is no such folder.")


def check_attention(attention: AttentionOptions) -> None:
    """At most one way of attention is asked for."""
    asked = [name for name in ("sdpa", "xformers", "mem_eff_attn", "diffusers_xformers") if getattr(attention, name)]
    if len(asked) > 1:
        flags = " and ".join(f"--{name}" for name in asked)
        raise BadOption(asked[1], f"{flags} exclude each other: use one, --sdpa if in doubt.")


def check_precision(precision: PrecisionOptions) -> None:
    """full_fp16 needs the scaling of gradients that mixed precision fp16 brings."""
    if precision.full_fp16 and precision.mixed_precision != "fp16":
        raise BadOption("full_fp16", "--full_fp16 needs --mixed_precision fp16.")


def check_saving(saving: SavingOptions) -> None:
    """There is a place and a name to save to, and what is to be removed is saved in the first place."""
    if not saving.output_dir:
        raise BadOption("output_dir", "--output_dir is needed: the folder for the trained model.")
    _plain_name("output_name", saving.output_name)
    if saving.save_last_n_epochs and not (saving.save_every_n_epochs or saving.save_n_epoch_ratio):
        raise BadOption(
            "save_last_n_epochs", "--save_last_n_epochs needs --save_every_n_epochs or --save_n_epoch_ratio."
        )
    if saving.save_last_n_steps and not saving.save_every_n_steps:
        raise BadOption("save_last_n_steps", "--save_last_n_steps needs --save_every_n_steps.")


def check_targets(options: TrainingSettings) -> None:
    """The trained model takes the place of an earlier one at most: not of its base, nor of a folder of other things."""
    base = options.model.pretrained_model_name_or_path or ""
    names = Names(Path(options.saving.output_dir or ""), options.saving.output_name)
    last = names.path(Occasion("last", 0))
    ending = file_format(options.saving, _format_of(Path(base)))
    target = last if ending.startswith("diffusers") else last.with_name(f"{last.name}.{ending}")
    for source in (base, options.model.vae):
        if source and target.exists() and Path(source).exists() and target.samefile(source):
            raise BadOption("output_name", f"--output_name: {target} is what this training reads. Choose another name.")
    marks = {target: "model_index.json"}
    if options.state.save_state or options.state.save_state_on_train_end:
        marks[names.state(Occasion("last", 0))] = "state.json"
    for folder, mark in marks.items():
        if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file():
            sentence = f"--output_name: the folder {folder} is there already, with other things in it. Choose another."
            raise BadOption("output_name", sentence)


def _format_of(base: Path) -> FileFormat:
    """The format that a base model has, by its name; a hub id is a diffusers folder."""
    endings: dict[str, FileFormat] = {".safetensors": "safetensors", ".ckpt": "ckpt"}
    return endings.get(base.suffix.lower(), "diffusers")


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
    elif state.resume and not (Path(state.resume) / "state.json").is_file():
        what = "no state (it has no state.json)" if Path(state.resume).is_dir() else "no such folder"
        raise BadOption("resume", f"--resume {state.resume}: there is {what}. Name a folder whose name ends in -state.")


def check_samples(samples: SampleOptions) -> None:
    """Samples that are asked for have prompts, and the prompts can be read."""
    asked = samples.sample_at_first or samples.sample_every_n_steps or samples.sample_every_n_epochs
    if samples.sample_prompts:
        read_prompts(samples.sample_prompts)
    elif asked:
        raise BadOption("sample_prompts", "Samples need prompts: name a file with --sample_prompts.")


def writable(option: str, folder: str | None) -> None:
    """Makes the folder and writes a file into it, which is gone again afterwards."""
    try:
        Path(folder or "").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        sentence = f"--{option} {folder} cannot be written to: {error.strerror}. Choose another folder."
        raise BadOption(option, sentence) from error


def _plain_name(option: str, name: str | None) -> None:
    # A name with a folder in it could leave the output folder.
    if name and (any(sign in name for sign in '/\\:*?"<>|') or name in (".", "..") or not name.isprintable()):
        raise BadOption(option, f'--{option} "{name}" must be a plain name, without / \\ : * ? " < > |.')
    if name and len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
        raise BadOption(
            option, f'--{option} "{name}" is too long for a file. Use {LONGEST_NAME_BYTES} letters or fewer.'
        )
