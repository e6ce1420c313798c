"""What must be true before a model is loaded; each finding is a BadOption. Needs no torch."""

from pathlib import Path

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.headers import check_layers, check_prediction, check_version, model_facts
from sd_scripts.library.models.paths import check_name
from sd_scripts.library.train.about import check_about
from sd_scripts.library.train.boards import check_boards
from sd_scripts.library.train.checks.data import caching_option, check_data
from sd_scripts.library.train.checks.machine import check_machine
from sd_scripts.library.train.checks.noise import check_noise
from sd_scripts.library.train.checks.output import check_folders, check_output
from sd_scripts.library.train.checks.trouble import check_trouble
from sd_scripts.library.train.checks.validation import check_validation
from sd_scripts.library.train.optimizers import optimizer_arguments
from sd_scripts.library.train.optimizing import check_optimizing
from sd_scripts.library.train.upload import check_upload
from sd_scripts.options.model import BaseModelOptions, BaseTextOptions, ModelOptions, TextCacheOptions
from sd_scripts.options.trainer import TrainerOptions


def check_training(options: TrainerOptions) -> None:
    """Checks what can be checked without torch and without reading the model. Errors: BadOption."""
    check_model(options.model, options.text)
    check_padding(options.text, options.text_cache)
    check_data(options)
    check_validation(options)
    check_machine(options)
    check_trouble(options)
    check_output(options)
    check_upload(options.hub, options.state)
    check_noise(options)
    optimizer_arguments(options.optimizer)
    check_optimizing(options.optimizer, options.schedule, options.length)
    check_boards(options.logging)
    check_about(options.about)
    check_folders(options)


def check_model(model: BaseModelOptions, text: BaseTextOptions) -> None:
    """A base model is named; clip_skip stands only where it has a meaning."""
    option = "pretrained_model_name_or_path"
    if not model.pretrained_model_name_or_path:
        raise BadOption(option, f"--{option} is needed: a .safetensors or .ckpt file, a diffusers folder or a hub id.")
    if isinstance(model, ModelOptions) and model.v2 and text.layer is not None:
        raise BadOption(
            "clip_skip", "--clip_skip is not for --v2: Stable Diffusion 2 uses its last but one layer by itself."
        )


def check_padding(text: BaseTextOptions, cache: TextCacheOptions) -> None:
    """Captions that are not filled up are of one chunk, and nothing of them is kept. Errors: BadOption."""
    if text.padded:
        return
    option = "no_token_padding"
    if (text.max_token_length or 75) > 75:
        raise BadOption(option, f"--{option} is for captions of 75 tokens at most: leave out --max_token_length.")
    if cache.asked:
        asked = caching_option(cache)
        sentence = "outputs are kept one by one, and would be of many lengths. Leave out one of the two."
        raise BadOption(option, f"--{option} does not go with --{asked}: {sentence}")


def check_names(model: BaseModelOptions, text: BaseTextOptions) -> None:
    """The model and the VAE are there, or could be on the hub; the model's header agrees with the options.

    Errors: BadFile, BadOption.
    """
    base = model.pretrained_model_name_or_path or ""
    check_name(base)
    if model.vae:
        check_name(model.vae)
    if Path(base).expanduser().exists():
        check_header(Path(base).expanduser(), model, text)


def check_header(path: Path, model: BaseModelOptions, text: BaseTextOptions) -> None:
    """What a model's header tells agrees with the options. Errors: BadOption.

    What is no such model at all is said by what reads it.
    """
    try:
        facts = model_facts(path)
    except BadFile:
        return
    if isinstance(model, ModelOptions) and facts.kind in ("sd1", "sd2"):
        check_version(path, facts.kind, model.v2)
        check_layers(text.layer, facts.text_layers)
    if facts.kind in ("sd1", "sd2", "sdxl"):
        check_prediction(path, facts.prediction_type, model.v_parameterization)
