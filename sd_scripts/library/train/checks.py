"""What must be true before a model is loaded; each finding is a BadOption. Needs no torch."""

import tempfile
from pathlib import Path

from sd_scripts.library.data.asked import asked_datasets
from sd_scripts.library.data.augment import check_caching
from sd_scripts.library.data.custom import KEEPING_MEMBERS, find_class
from sd_scripts.library.data.subsets import Subset, told_of
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.metadata import read_metadata
from sd_scripts.library.models.family import FileFormat
from sd_scripts.library.models.paths import check_name
from sd_scripts.library.train.about import check_about
from sd_scripts.library.train.boards import check_boards
from sd_scripts.library.train.machine_checks import check_machine
from sd_scripts.library.train.noise_checks import check_noise
from sd_scripts.library.train.optimizers import optimizer_arguments
from sd_scripts.library.train.optimizing import check_optimizing
from sd_scripts.library.train.prompts import read_prompts
from sd_scripts.library.train.remote_state import parse_remote
from sd_scripts.library.train.saving import Names, Occasion, file_format
from sd_scripts.library.train.settings import TrainingSettings
from sd_scripts.library.train.upload import check_upload
from sd_scripts.options.data import FineTuneDataOptions, ResolutionOptions
from sd_scripts.options.model import ModelOptions, TextEncodingOptions
from sd_scripts.options.training import AttentionOptions, LoggingOptions, SampleOptions, SavingOptions, StateOptions

# File systems take 255 bytes; numbers, times and endings are added.
LONGEST_NAME_BYTES = 180


def check_training(options: TrainingSettings) -> None:
    """Checks what can be checked without torch and without reading the model. Errors: BadOption."""
    check_model(options.model, options.text)
    check_data(options)
    check_readers(options.data)
    check_attention(options.attention)
    check_machine(options)
    check_saving(options.saving)
    check_targets(options)
    check_states(options.state, options.saving)
    check_upload(options.hub, options.state)
    check_samples(options.samples)
    check_noise(options)
    optimizer_arguments(options.optimizer)
    check_optimizing(options.optimizer, options.schedule, options.length)
    check_log_names(options.logging)
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


def check_data(options: TrainingSettings) -> None:
    """The datasets are described without mistakes, and their metadata files and folders are there."""
    data, sizes = options.data, options.resolution
    if data.dataset_class:
        if data.dataset_config:
            raise BadOption("dataset_config", "--dataset_config and --dataset_class exclude each other: use one.")
        _check_class_keeps_latents(sizes, find_class(data.dataset_class))
        return
    for dataset in asked_datasets(options):
        for subset in dataset.subsets:
            with told_of(subset.where):
                _check_subset(subset)
                for option in (name for name in ("cache_latents", "cache_latents_to_disk") if getattr(sizes, name)):
                    check_caching(subset.pictures, option)


def _check_class_keeps_latents(resolution: ResolutionOptions, found: type) -> None:
    """Latents can be kept only in data that take them."""
    if resolution.cache_latents_to_disk:
        sentence = "--cache_latents_to_disk is for pictures: a --dataset_class keeps latents itself. Leave it out."
        raise BadOption("cache_latents_to_disk", sentence)
    missing = [name for name in KEEPING_MEMBERS if not hasattr(found, name)]
    if resolution.cache_latents and missing:
        sentence = f"--cache_latents needs a --dataset_class that has {', '.join(missing)}. Leave it out."
        raise BadOption("cache_latents", sentence)


def _check_subset(subset: Subset) -> None:
    file, folder = ("metadata_file", "image_dir") if subset.where else ("in_json", "train_data_dir")
    if subset.metadata_file:
        read_metadata(subset.metadata_file, file)
    if subset.image_dir and not Path(subset.image_dir).is_dir():
        raise BadOption(folder, f"--{folder} {subset.image_dir}: there is no such folder.")


def check_readers(data: FineTuneDataOptions) -> None:
    """Only readers that there are can be kept."""
    if data.persistent_data_loader_workers and not data.max_data_loader_n_workers:
        sentence = "--persistent_data_loader_workers needs readers: --max_data_loader_n_workers 1 or more."
        raise BadOption("persistent_data_loader_workers", sentence)


def check_attention(attention: AttentionOptions) -> None:
    """At most one way of attention is asked for."""
    asked = [name for name in ("sdpa", "xformers", "mem_eff_attn", "diffusers_xformers") if getattr(attention, name)]
    if len(asked) > 1:
        flags = " and ".join(f"--{name}" for name in asked)
        raise BadOption(asked[1], f"{flags} exclude each other: use one, --sdpa if in doubt.")


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


def check_log_names(logging: LoggingOptions) -> None:
    """What names folders of logs names no folder elsewhere."""
    _plain_name("log_prefix", logging.log_prefix)
    _plain_name("log_tracker_name", logging.log_tracker_name)


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
