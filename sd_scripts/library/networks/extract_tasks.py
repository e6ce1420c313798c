"""The tools that extract networks, from their options to the written file. What is asked is checked before torch is
loaded."""

from functools import partial

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io import asked
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report
from sd_scripts.options.network_tools import ExtractLoconOptions, ExtractLoraOptions


def extract(options: ExtractLoraOptions, report: Report) -> None:
    """Extracts a LoRA out of two models. Errors: BadOption, BadFile."""
    given = options.models
    to = asked.output_file("--save_to", options.save_to, [given.model_org, given.model_tuned])
    if options.v2 and options.sdxl:
        raise BadOption("v2", "--v2 does not go with --sdxl: the models are of one kind. Leave one out.")
    from sd_scripts.library.models.numbers import device_of, dtype_of
    from sd_scripts.library.networks import extracting, headers, merging
    from sd_scripts.library.networks.files import write_network
    from sd_scripts.library.networks.opening import Wanted, opened

    device = device_of("device", options.svd.device)
    wanted = Wanted(options.sdxl, options.v2, "v2", "sdxl")
    before, after = (
        opened(getattr(given, name), wanted, flag, getattr(given, flag))
        for name, flag in (("model_org", "load_original_model_to"), ("model_tuned", "load_tuned_model_to"))
    )
    pair = extracting.Pair(before, after, dtype_of(given.load_precision) if given.load_precision else None)
    conv_rank = options.conv_dim

    def rank(_values: object, is_wide_conv: bool) -> int:
        return (conv_rank or 0) if is_wide_conv else options.dim

    limit = options.clamp_quantile
    how = extracting.Extraction(rank, conv_rank is not None, device, options.min_diff, limit)
    tensors = extracting.extracted(pair, how, report)
    version = headers.base_version(before.kind, options.v_parameterization)
    header = merging.header_of(to, tensors, version, None if options.spec.no_metadata else ())
    network_args = extracting.conv_arguments(conv_rank)
    header |= {"ss_network_args": network_args} if network_args else {}
    patiently(report, to, partial(write_network, to, tensors, dtype_of(options.save_precision), header))
    report.saved(to, "model")
    report.summary(f"Extracted {extracting.told(tensors)}: {to}.")


def extract_locon(options: ExtractLoconOptions, report: Report) -> None:
    """Extracts a LoCon out of two models. Errors: BadOption, BadFile."""
    name = options.output_name
    named = f"{name}.safetensors" if options.safetensors and not name.endswith(".safetensors") else name
    to = asked.output_file("output_name", named, [options.base_model, options.db_model])
    from sd_scripts.library.models.numbers import device_of
    from sd_scripts.library.networks import headers
    from sd_scripts.library.networks.extracting import Pair, told
    from sd_scripts.library.networks.files import write_network
    from sd_scripts.library.networks.locon import LoconAsked
    from sd_scripts.library.networks.locon import extract_locon as extracted
    from sd_scripts.library.networks.opening import Wanted, opened

    device = device_of("device", options.device)
    _tell_unused(options, report)
    linear, conv = (float(getattr(options, f"{part}_{_NUMBERS[options.mode]}", 0.0)) for part in ("linear", "conv"))
    sparsity = options.sparsity if options.use_sparse_bias else None
    how = LoconAsked(options.mode, linear, conv, device, sparsity, not options.disable_cp)
    wanted = Wanted(options.is_sdxl, options.is_v2, "is_v2", "is_sdxl")
    before, after = (opened(path, wanted) for path in (options.base_model, options.db_model))
    tensors = extracted(Pair(before, after), how, report)
    version = headers.base_version(before.kind, after.prediction_type == "v_prediction")
    spec = headers.network_spec(to, version)
    header = spec | {"ss_base_model_version": version, "ss_network_module": "lycoris.kohya"}
    patiently(report, to, partial(write_network, to, tensors, None, header))
    report.saved(to, "model")
    report.summary(f"Extracted {told(tensors)}: {to}.")


_NUMBERS = {"fixed": "dim", "full": "", "threshold": "threshold", "ratio": "ratio", "quantile": "quantile"}
"""The options of each mode are called linear_... and conv_..."""


def _tell_unused(options: ExtractLoconOptions, report: Report) -> None:
    """Says which options the mode does not read."""
    plain = ExtractLoconOptions(base_model="", db_model="", output_name="")
    others = {word for mode, word in _NUMBERS.items() if word and mode != options.mode}
    flags = [f"{part}_{word}" for part in ("linear", "conv") for word in sorted(others)]
    flags += ["use_sparse_bias", "disable_cp"] if options.mode == "full" else []
    flags += ["sparsity"] if not options.use_sparse_bias else []
    for flag in (flag for flag in flags if getattr(options, flag) != getattr(plain, flag)):
        report.notice(f"--{flag} is not used with --mode {options.mode}, or without its partner.", "warning")
