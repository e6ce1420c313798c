"""Opens the model that draws, of whatever family, with what stays added to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.generate.additions import Strengths, add_networks
from sd_scripts.library.generate.easel import Easel
from sd_scripts.library.io.headers import check_layers, model_facts, safetensors_header
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.family import Family, TextSettings
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.report import Report
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.device import check_device, prepare_modules
from sd_scripts.library.train.method import Holding
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.gen_img import DrawingSpeedOptions, DrawnModelOptions, GenImgOptions
from sd_scripts.options.training import AttentionOptions, PrecisionOptions

_FLAGS = {"sd1": "v1", "sd2": "v2", "sdxl": "sdxl"}
_TITLES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "SDXL"}


@dataclass(frozen=True)
class Opened:
    """A model that can draw, and what of it can count more or less."""

    family: Family
    easel: Easel
    networks: Strengths
    hypernetworks: Strengths


def open_model(options: GenImgOptions, name: str, report: Report) -> Opened:
    """Loads a model and adds what stays. Errors: BadOption, BadFile, NotInstalled."""
    from accelerate import Accelerator

    report.say(f"Loading {name}")
    speed = options.speed
    precision = PrecisionOptions(mixed_precision="fp16" if speed.fp16 else "bf16" if speed.bf16 else "no")
    check_device(precision)
    accelerator: Any = Accelerator(mixed_precision=precision.mixed_precision)
    family = load_family(options.model, name, report)
    _check_text(family, options)
    for module in (family.unet, family.vae, *family.text_encoders.values()):
        module.requires_grad_(False).eval()
    if options.model.zero_terminal_snr:
        family.use_zero_terminal_snr()
    prepare_modules(family, precision, _attention(speed), Holding(exact=False), accelerator.device)
    if speed.opt_channels_last:
        for module in (family.unet, family.vae):
            nn.Module.to(module, memory_format=torch.channels_last)
    networks, hypernetworks = add_networks(family, options.added, report)
    if options.added.network_show_meta:
        _show_headers(options.added.network_weights or [], report)
    return Opened(family, _easel(family, options, accelerator), networks, hypernetworks)


def load_family(options: DrawnModelOptions, name: str, report: Report) -> Family:
    """The model of a file, a folder or a hub id; what it is, it tells. Errors: BadOption, BadFile."""
    path = model_path(name)
    facts = model_facts(path)
    if (
        asked := next((kind for kind, flag in _FLAGS.items() if getattr(options, flag)), None)
    ) and facts.kind in _FLAGS:
        _check_kind(path, facts.kind, asked)
    velocity = options.v_parameterization or facts.prediction_type == "v_prediction"
    if facts.kind == "sdxl" or (asked == "sdxl" and facts.kind == "unknown"):
        return sdxl.load(str(path), v_parameterization=velocity, vae=options.vae, report=report)
    return sd.load(str(path), facts.kind == "sd2", velocity, options.vae, report)


def _check_kind(path: Path, kind: str, asked: str) -> None:
    if kind != asked:
        sentence = f"{path} is {_TITLES[kind]}: leave out --{_FLAGS[asked]}"
        raise BadOption(_FLAGS[asked], f"--{_FLAGS[asked]}: {sentence}.")


def _check_text(family: Family, options: GenImgOptions) -> None:
    clip_skip = options.drawing.clip_skip
    if clip_skip and clip_skip > 1 and family.name != "sd1":
        sentence = f"{_TITLES[family.name]} skips a layer by itself. Leave it out."
        raise BadOption("clip_skip", f"--clip_skip {clip_skip}: {sentence}")
    config: Any = next(iter(family.text_encoders.values())).config
    check_layers(clip_skip, config.num_hidden_layers)


def _easel(family: Family, options: GenImgOptions, accelerator: Any) -> Easel:
    longest: Any = 75 * (options.drawing.max_embeddings_multiples or 1)
    clip_skip = options.drawing.clip_skip if family.name == "sd1" else None
    texts = Texts(family, TextSettings(clip_skip, longest), accelerator, trained=False, keep=False)
    encoder = Encoder(family, accelerator, options.model.no_half_vae)
    zero = options.drawing.force_scheduler_zero_steps_offset
    return Easel(family, texts, encoder, accelerator, options.stages, _decoded_at_once(options.speed), zero)


def _decoded_at_once(speed: DrawingSpeedOptions) -> int:
    asked = speed.vae_batch_size
    if not asked:
        return speed.batch_size
    return max(1, int(speed.batch_size * asked if asked < 1 else asked))


def _attention(speed: DrawingSpeedOptions) -> AttentionOptions:
    return AttentionOptions(sdpa=speed.sdpa, xformers=speed.xformers, diffusers_xformers=speed.diffusers_xformers)


def _show_headers(files: list[str], report: Report) -> None:
    for file in files:
        told = safetensors_header(Path(file))[1] if file.lower().endswith(".safetensors") else {}
        report.say(f"{file}:")
        for key, text in sorted(told.items()):
            report.say(f"  {key}: {text}")
