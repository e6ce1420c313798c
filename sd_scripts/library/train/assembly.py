"""Puts model, data and method of a script together."""

from sd_scripts.library.data.read_dataset import read_fine_tune_data
from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.sd import load
from sd_scripts.library.models.vae import weights_hash
from sd_scripts.library.report import Report
from sd_scripts.library.train.about import unwritten
from sd_scripts.library.train.boards import idle_logging
from sd_scripts.library.train.device import check_device, main_report
from sd_scripts.library.train.full import FullFineTune
from sd_scripts.library.train.noise_checks import idle_options
from sd_scripts.library.train.optimizers import check_optimizer
from sd_scripts.library.train.remote_state import fetch_state
from sd_scripts.library.train.saving import file_format
from sd_scripts.library.train.trainer import Trainer
from sd_scripts.library.train.upload import prepare_upload
from sd_scripts.options.fine_tune import FineTuneOptions


def fine_tune(options: FineTuneOptions, report: Report) -> None:
    """fine_tune.py, once its options are checked."""
    check_device(options.precision)
    check_optimizer(options.optimizer)
    report = main_report(report)
    for sentence in [*idle_options(options), *idle_logging(options.logging)]:
        report.notice(sentence, "warning")
    prepare_upload(options.hub, report)
    if options.state.resume_from_huggingface:
        options.state.resume = str(fetch_state(options.state.resume or "", options.hub.huggingface_token, report))
    model = options.model
    report.phase("load_model", f"Loading {model.pretrained_model_name_or_path}")
    family = load(
        model.pretrained_model_name_or_path or "",
        v2=model.v2,
        v_parameterization=model.v_parameterization,
        vae=model.vae,
        report=report,
    )
    _check_layers(options.text.clip_skip or 1, family.text_encoder.config.num_hidden_layers)
    for sentence in unwritten(options.about, file_format(options.saving, family.source_format)):
        report.notice(sentence, "warning")
    vae_hash = weights_hash(family.vae.state_dict())
    data = read_fine_tune_data(options.data, options.captions, options.resolution, report, vae_hash)
    method = FullFineTune(options.method.train_text_encoder)
    Trainer(family, method, data, options, report).run()


def _check_layers(clip_skip: int, layers: int) -> None:
    if clip_skip > layers:
        raise BadOption(
            "clip_skip", f"--clip_skip {clip_skip}: the text encoder has {layers} layers. Use 1 to {layers}."
        )
