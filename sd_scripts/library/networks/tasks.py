"""The tools that look into a LoRA, or write it anew, from their options to the end. What is asked is checked before
torch is loaded."""

from functools import partial

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io import asked
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted
from sd_scripts.options.network_tools import (
    CheckLoraOptions,
    LoraInterrogatorOptions,
    ResizeLoraOptions,
    SplitDyloraOptions,
)


def resize(options: ResizeLoraOptions, report: Report) -> None:
    """Writes a LoRA in other ranks. Errors: BadOption, BadFile."""
    model = asked.input_file("--model", options.model)
    to = asked.output_file("--save_to", options.save_to, [model])
    param = _dynamic_param(options, report)
    from sd_scripts.library.models.numbers import device_of, dtype_of
    from sd_scripts.library.networks import resizing
    from sd_scripts.library.networks.files import write_network
    from sd_scripts.library.networks.stored import plain_network

    ranks = options.ranks
    sizes = resizing.Sizes(ranks.new_rank, ranks.new_conv_rank or ranks.new_rank, options.dynamic_method, param)
    device, network = device_of("device", options.svd.device), plain_network(model)
    tensors, told = resizing.resized(network, sizes, device, report)
    header = resizing.header_of_resized(network.metadata, tensors, sizes, told)
    patiently(report, to, partial(write_network, to, tensors, dtype_of(options.save_precision), header))
    report.saved(to, "model")
    resizing.tell(told, options.verbose, report)


def _dynamic_param(options: ResizeLoraOptions, report: Report) -> float:
    method, param = options.dynamic_method, options.dynamic_param
    if not method:
        if param is not None:
            report.notice("--dynamic_param is not used: it needs --dynamic_method.", "warning")
        return 0.0
    if not param:
        example = _EXAMPLES[method]
        raise BadOption("dynamic_param", f"--dynamic_method {method} needs --dynamic_param, such as {example}.")
    if method == "sv_ratio" and param < 1:
        raise BadOption("dynamic_param", f"--dynamic_param {param:g}: sv_ratio takes 1 or more, such as 10.")
    if method != "sv_ratio" and param > 1:
        raise BadOption("dynamic_param", f"--dynamic_param {param:g}: {method} takes a share of up to 1, such as 0.9.")
    return param


_EXAMPLES = {"sv_ratio": "10", "sv_fro": "0.9", "sv_cumulative": "0.9"}


def check(options: CheckLoraOptions, report: Report) -> None:
    """Shows what is in a network. Errors: BadOption, BadFile."""
    file = asked.input_file("file", options.file)
    from sd_scripts.library.networks import checking

    checking.check(file, options.show_all_keys, report)


def split_dylora(options: SplitDyloraOptions, report: Report) -> None:
    """Writes a LoRA of each rank. Errors: BadOption, BadFile."""
    model = asked.input_file("--model", options.model)
    to = asked.output_file("--save_to", options.save_to, [model])
    from sd_scripts.library.networks.splitting import split
    from sd_scripts.library.networks.stored import plain_network

    written = split(plain_network(model), options.unit, to, report)
    report.summary(f"Wrote {counted(len(written), 'LoRA')}, {written[0].name} to {written[-1].name}.")


def interrogate(options: LoraInterrogatorOptions, report: Report) -> None:
    """Lists the words that a LoRA changes most. Errors: BadOption, BadFile."""
    model = asked.input_file("--model", options.model)
    from sd_scripts.library.models.sd import load
    from sd_scripts.library.networks.interrogating import interrogate as words_of
    from sd_scripts.library.networks.opening import Wanted, check_base, opened
    from sd_scripts.library.networks.stored import StoredNetwork

    network = StoredNetwork(model)
    check_base(network, "sd")
    velocity = opened(options.sd_model, Wanted(False, options.v2)).prediction_type == "v_prediction"
    words = words_of(
        load(options.sd_model, options.v2, velocity), network, options.batch_size, options.clip_skip, report
    )
    for number, word in enumerate(words):
        report.say(f"[{number:3d}]: {word.token:5d} {word.text:<20s}: {word.difference:.5f}")
    report.summary(
        f"The word that this LoRA changes most is {words[0].text!r}.",
        {"words": [word._asdict() for word in words]},
    )
