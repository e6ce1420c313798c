"""The training that files of latents or texts are made for, and what must be true of it. Needs no torch."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.headers import model_facts
from sd_scripts.library.models.paths import check_name
from sd_scripts.library.train.checks.data import check_data
from sd_scripts.library.train.checks.machine import check_formats
from sd_scripts.options.cache_tools import CacheLatentsOptions, CacheModelOptions, CacheTextsOptions
from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.data import EitherDataOptions, ResolutionOptions
from sd_scripts.options.model import BaseModelOptions, TextCacheOptions
from sd_scripts.options.pictures import PictureOptions
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.training import ModelFormatOptions, PrecisionOptions

Group = TypeVar("Group")
ANY_SIZE = "512"
"""Texts do not depend on sizes, but pictures are read in some."""
_NAMES = {"sd1": "a Stable Diffusion 1 model", "sd2": "a Stable Diffusion 2 model", "sdxl": "an SDXL model"}


def for_latents(options: CacheLatentsOptions) -> TrainerOptions:
    """The training, once it is checked. Errors: BadOption, BadFile."""
    check_family(options.model)
    if options.vae.vae:
        check_name(options.vae.vae)
    base = BaseModelOptions(
        pretrained_model_name_or_path=options.model.pretrained_model_name_or_path,
        vae=options.vae.vae,
        no_half_vae=options.vae.no_half_vae,
    )
    training = TrainerOptions(
        model=base,
        data=_as(EitherDataOptions, options.data),
        resolution=_as(ResolutionOptions, replace(options.resolution, cache_latents_to_disk=True)),
        pictures=_as(PictureOptions, options.pictures),
        precision=_as(PrecisionOptions, options.precision),
        format=ModelFormatOptions(),
    )
    check_data(training)
    return training


def for_texts(options: CacheTextsOptions) -> TrainerOptions:
    """The training, once it is checked. Errors: BadOption, BadFile."""
    facts = check_family(options.model)
    if facts == "sdxl" and options.text.clip_skip is not None:
        sentence = "SDXL reads its text encoders' last but one layers by itself. Leave it out."
        raise BadOption("clip_skip", f"--clip_skip has no place here: {sentence}")
    training = TrainerOptions(
        model=BaseModelOptions(pretrained_model_name_or_path=options.model.pretrained_model_name_or_path),
        text=options.text,
        text_cache=TextCacheOptions(cache_text_encoder_outputs_to_disk=True),
        data=_as(EitherDataOptions, options.data),
        captions=_as(CaptionOptions, options.captions),
        resolution=ResolutionOptions(
            skip_cache_check=options.files.skip_cache_check, verify_cache=options.files.verify_cache
        ),
        precision=_as(PrecisionOptions, options.precision),
        format=ModelFormatOptions(),
    )
    check_formats(training.precision)
    try:
        check_data(training)
    except BadOption as error:
        if error.option != "resolution":
            raise
        training.resolution.resolution = ANY_SIZE
        check_data(training)
    return training


def check_family(model: CacheModelOptions) -> str | None:
    """The family of the model, where its file or folder tells. Errors: BadOption, BadFile."""
    option = "pretrained_model_name_or_path"
    if not model.pretrained_model_name_or_path:
        raise BadOption(option, f"--{option} is needed: a .safetensors or .ckpt file, a diffusers folder or a hub id.")
    check_name(model.pretrained_model_name_or_path)
    if model.v2 and model.sdxl:
        raise BadOption("sdxl", "--v2 and --sdxl exclude each other. Leave out both: what a model is, is found out.")
    kind = family_of(Path(model.pretrained_model_name_or_path).expanduser())
    for flag, family in (("v2", "sd2"), ("sdxl", "sdxl")):
        if kind and getattr(model, flag) and kind != family:
            raise BadOption(flag, f"{model.pretrained_model_name_or_path} is {_NAMES[kind]}: leave out --{flag}.")
    return kind or ("sdxl" if model.sdxl else None)


def family_of(path: Path) -> str | None:
    """sd1, sd2 or sdxl; None for what does not tell, such as a hub id. What is no model is said by what reads it."""
    try:
        kind = model_facts(path).kind
    except BadFile:
        return None
    return kind if kind in _NAMES else None


def _as(group: type[Group], values: Any) -> Group:
    """A trainer's group with the values that another one has."""
    names = {field.name for field in fields(group)}  # type: ignore[arg-type]
    return group(**{field.name: getattr(values, field.name) for field in fields(values) if field.name in names})
