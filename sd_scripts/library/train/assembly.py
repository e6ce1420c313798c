"""Puts model, data and method of a script together."""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path

import torch

from sd_scripts.library.data.read_dataset import open_data
from sd_scripts.library.data.training_data import TrainingData
from sd_scripts.library.io.headers import check_layers, safetensors_header
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.adaptable import SD_BLOCKS, SDXL_BLOCKS, Blocks
from sd_scripts.library.models.family import Family
from sd_scripts.library.models.sd import StableDiffusion
from sd_scripts.library.models.sdxl import StableDiffusionXL
from sd_scripts.library.models.vae import vae_hash
from sd_scripts.library.report import Report
from sd_scripts.library.train.beside import ANEW
from sd_scripts.library.train.checks.here import check_here
from sd_scripts.library.train.device import loading_device, main_report
from sd_scripts.library.train.full import FullFineTune
from sd_scripts.library.train.going_on import settle
from sd_scripts.library.train.hypernetwork_method import HypernetworkMethod
from sd_scripts.library.train.inversion_method import InversionMethod
from sd_scripts.library.train.inversion_rules import check_captions
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.network_method import NetworkMethod
from sd_scripts.library.train.notices import hypernetwork_notices, inversion_notices, network_notices, notices
from sd_scripts.library.train.optimizing import check_part_rates
from sd_scripts.library.train.precision import encoding_precision
from sd_scripts.library.train.trainer import Trainer
from sd_scripts.library.train.upload import prepare_upload
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.inversion import InversionTrainerOptions
from sd_scripts.options.model import ModelOptions, SdxlModelOptions
from sd_scripts.options.network import StartOptions
from sd_scripts.options.sdxl_train import SdxlTrainOptions
from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions
from sd_scripts.options.sdxl_train_textual_inversion import SdxlTrainTextualInversionOptions
from sd_scripts.options.train_db import TrainDbOptions
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions
from sd_scripts.options.train_network import TrainNetworkOptions
from sd_scripts.options.train_textual_inversion import TrainTextualInversionOptions
from sd_scripts.options.trainer import FullTrainerOptions, NetworkTrainerOptions, TrainerOptions
from sd_scripts.options.training import LengthOptions

narrowing: ContextVar[Callable[[TrainingData, LengthOptions], TrainingData]] = ContextVar(
    "narrowing", default=lambda data, _length: data
)
"""What becomes of a training's data before it begins: a trial takes only some of it."""


def fine_tune(options: FineTuneOptions | TrainDbOptions, report: Report) -> None:
    """fine_tune.py and train_db.py, once their options are checked."""
    report = _begin_full(options, report)
    _train(_load_sd(options.model, options, report), FullFineTune(options.method), options, report)


def sdxl_train(options: SdxlTrainOptions, report: Report) -> None:
    """sdxl_train.py, once its options are checked."""
    report = _begin_full(options, report)
    _train(_load_sdxl(options.model, options, report), FullFineTune(options.method), options, report)


def train_network(options: TrainNetworkOptions, report: Report) -> None:
    """train_network.py, once its options are checked."""
    method, report = _begin_network(options, SD_BLOCKS, report)
    _train(_load_sd(options.model, options, report), method, options, report, options.start)


def sdxl_train_network(options: SdxlTrainNetworkOptions, report: Report) -> None:
    """sdxl_train_network.py, once its options are checked."""
    method, report = _begin_network(options, SDXL_BLOCKS, report)
    _train(_load_sdxl(options.model, options, report), method, options, report, options.start)


def train_textual_inversion(options: TrainTextualInversionOptions, report: Report) -> None:
    """train_textual_inversion.py, once its options are checked."""
    report = _begin_inversion(options, report)
    _train_word(_load_sd(options.model, options, report), options, report)


def sdxl_train_textual_inversion(options: SdxlTrainTextualInversionOptions, report: Report) -> None:
    """sdxl_train_textual_inversion.py, once its options are checked."""
    report = _begin_inversion(options, report)
    _train_word(_load_sdxl(options.model, options, report), options, report)


def _begin_inversion(options: InversionTrainerOptions, report: Report) -> Report:
    """What comes before a model is loaded that is to learn a word. Errors: BadOption, NotInstalled."""
    check_here(options)
    return _begin(options, InversionMethod.kind, inversion_notices(options, torch.cuda.is_available()), report)


def train_hypernetwork(options: TrainHypernetworkOptions, report: Report) -> None:
    """train_hypernetwork.py, once its options are checked."""
    check_here(options)
    report = _begin(options, HypernetworkMethod.kind, hypernetwork_notices(options, torch.cuda.is_available()), report)
    method = HypernetworkMethod(options, report)
    _train(_load_sd(options.model, options, report), method, options, report, options.start)


def _begin_full(options: FullTrainerOptions, report: Report) -> Report:
    """What comes before a whole model is loaded to be trained. Errors: BadOption, NotInstalled."""
    check_here(options)
    check_part_rates(options.optimizer, options.method)
    report = _begin(options, FullFineTune.kind, notices(options, torch.cuda.is_available()), report)
    _tell_earlier(options, report)
    return report


def _tell_earlier(options: FullTrainerOptions, report: Report) -> None:
    """Says what a training does not go on with that begins with the weights of an earlier one."""
    base = Path(options.model.pretrained_model_name_or_path or "")
    if options.state.source or base.suffix != ".safetensors" or not base.is_file():
        return
    if steps := safetensors_header(base)[1].get("ss_steps"):
        report.say(f"Going on from {base}, trained for {steps} steps. {ANEW}")


def _begin_network(options: NetworkTrainerOptions, blocks: Blocks, report: Report) -> tuple[NetworkMethod, Report]:
    """What comes before a model is loaded beside which a network is trained. Errors: BadOption, NotInstalled."""
    check_here(options)
    kind = options.network.network_module or ""
    report = _begin(options, kind, network_notices(options, torch.cuda.is_available()), report)
    method = NetworkMethod(options, report)
    method.check(blocks)
    return method, report


def _begin(options: TrainerOptions, kind: str, told: Iterable[str], report: Report) -> Report:
    """What comes before a model is loaded for a method of this kind; gives the report of this process.

    Errors: BadOption.
    """
    report = main_report(report)
    for sentence in told:
        report.notice(sentence, "warning")
    prepare_upload(options.hub, report)
    settle(options, kind, report)
    report.phase("load_model", f"Loading {options.model.pretrained_model_name_or_path}")
    return report


def _load_sd(model: ModelOptions, options: TrainerOptions, report: Report) -> StableDiffusion:
    family = sd.load(
        model.pretrained_model_name_or_path or "",
        v2=model.v2,
        v_parameterization=model.v_parameterization,
        vae=model.vae,
        report=report,
        device=loading_device(options.precision),
    )
    check_layers(options.text.layer, family.text_encoder.config.num_hidden_layers)
    return family


def _load_sdxl(model: SdxlModelOptions, options: TrainerOptions, report: Report) -> StableDiffusionXL:
    if model.disable_mmap_load_safetensors:
        report.say("Files of weights are read as a whole, not mapped into memory.")
    return sdxl.load(
        model.pretrained_model_name_or_path or "",
        v_parameterization=model.v_parameterization,
        vae=model.vae,
        report=report,
        device=loading_device(options.precision),
        mapped=not model.disable_mmap_load_safetensors,
    )


def _train(
    family: Family, method: Method, options: TrainerOptions, report: Report, start: StartOptions | None = None
) -> None:
    data = _open_data(family, options, report)
    Trainer(family, method, data, options, report, start).run()


def _train_word(family: Family, options: InversionTrainerOptions, report: Report) -> None:
    data, method = _open_data(family, options, report), InversionMethod(options, report)
    check_captions(method.word, data, report)
    Trainer(family, method, data, options, report).run()


def _open_data(family: Family, options: TrainerOptions, report: Report) -> TrainingData:
    data = open_data(options, report, vae_hash(family.vae), family.latents_suffix, encoding_precision(options))
    return narrowing.get()(data, options.length)
