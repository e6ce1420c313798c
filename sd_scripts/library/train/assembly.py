"""Puts model, data and method of a script together."""

import torch

from sd_scripts.library.data.read_dataset import open_data
from sd_scripts.library.io.headers import check_layers
from sd_scripts.library.models.sd import load
from sd_scripts.library.models.vae import weights_hash
from sd_scripts.library.report import Report
from sd_scripts.library.train.checks.here import check_here
from sd_scripts.library.train.device import loading_device, main_report
from sd_scripts.library.train.full import FullFineTune
from sd_scripts.library.train.notices import notices
from sd_scripts.library.train.optimizing import check_text_rate
from sd_scripts.library.train.remote_state import fetch_state
from sd_scripts.library.train.state import check_asked, read_facts
from sd_scripts.library.train.trainer import Trainer
from sd_scripts.library.train.upload import prepare_upload
from sd_scripts.options.fine_tune import FineTuneOptions


def fine_tune(options: FineTuneOptions, report: Report) -> None:
    """fine_tune.py, once its options are checked."""
    check_here(options)
    check_text_rate(options.optimizer, options.method)
    report = main_report(report)
    for sentence in notices(options, has_gpu=torch.cuda.is_available()):
        report.notice(sentence, "warning")
    prepare_upload(options.hub, report)
    if options.state.resume_from_huggingface:
        options.state.resume = str(fetch_state(options.state.resume or "", options.hub.huggingface_token, report))
    if folder := options.state.resume:
        check_asked(folder, read_facts(folder), options)
    model = options.model
    report.phase("load_model", f"Loading {model.pretrained_model_name_or_path}")
    family = load(
        model.pretrained_model_name_or_path or "",
        v2=model.v2,
        v_parameterization=model.v_parameterization,
        vae=model.vae,
        report=report,
        device=loading_device(options.precision),
    )
    check_layers(options.text.clip_skip, family.text_encoder.config.num_hidden_layers)
    vae_hash = weights_hash(family.vae.state_dict())
    data = open_data(options, report, vae_hash)
    method = FullFineTune(options.method)
    Trainer(family, method, data, options, report).run()
