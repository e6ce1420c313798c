"""What must be true of a network's options, which of them do nothing, and which parts are asked for. Needs no torch."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.fitting import check_network_file
from sd_scripts.library.networks.arguments import split_words
from sd_scripts.library.networks.lycoris_arguments import MODULE, WITHOUT_NORMS, unused
from sd_scripts.library.notice import Notice
from sd_scripts.library.train.checks.data import caching_option
from sd_scripts.library.train.checks.output import last_target
from sd_scripts.library.train.optimizers import optimizer_name, sets_its_rates
from sd_scripts.options.network import (
    FrozenBaseOptions,
    NetworkFormatOptions,
    NetworkHeaderOptions,
    NetworkOptions,
    NetworkRateOptions,
    StartOptions,
)
from sd_scripts.options.optimizer import finds_its_rate
from sd_scripts.options.trainer import NetworkTrainerOptions


def adapts_unet(rates: NetworkRateOptions) -> bool:
    """Whether the network has a part in the U-Net."""
    return not rates.network_train_text_encoder_only and rates.unet_lr != 0


def check_network(options: NetworkTrainerOptions) -> None:
    """Checks what can be checked before a model is loaded. Errors: BadOption."""
    split_words(options.network.network_args)
    _check_module(options.network)
    _check_parts(options)
    _check_rates(options)
    _check_base(options.base, options.precision.mixed_precision, options.precision.gradient_checkpointing)
    _check_narrow(options)
    check_start(options.start)
    check_sources(last_target(options), _sources(options))
    _check_files(options)
    if options.text_cache.asked and options.trained_texts:
        option = caching_option(options.text_cache)
        sentence = "what a text encoder makes of captions changes while the network changes it"
        raise BadOption(option, f"--{option} needs --network_train_unet_only: {sentence}.")


def idle_network(options: NetworkTrainerOptions, has_gpu: bool) -> Iterator[Notice]:
    """A sentence for each option of a network that is given and does nothing, or not what one may think."""
    yield from _about_network(options.network)
    yield from _about_kind(options.network, options.rates, bool(options.trained_texts))
    if sets_its_rates(options.optimizer):
        for name in ("unet_lr", "text_encoder_lr"):
            if getattr(options.rates, name):
                own = f"{optimizer_name(options.optimizer)} finds its rates itself."
                yield Notice(name, f"--{name} is not used: {own}")
    if options.base.fp8_base_unet and options.precision.fp8_base:
        yield Notice("fp8_base_unet", "--fp8_base_unet adds nothing to --fp8_base, which is for the U-Net too.")
    if options.base.cpu_offload_checkpointing and not has_gpu:
        option = "cpu_offload_checkpointing"
        yield Notice(option, f"--{option} has no effect: there is no GPU.")
    yield from about_comment(options.header, options.format)
    yield from about_start(options.start, options.state.source)


def _about_network(network: NetworkOptions) -> Iterator[Notice]:
    if network.dim_from_weights:
        for name in ("network_dim", "network_alpha"):
            if getattr(network, name) != getattr(NetworkOptions(), name):
                yield Notice(name, f"--{name} is not used: --dim_from_weights takes the file's.")
    arguments = split_words(network.network_args)
    if network.network_dropout is not None and arguments.get("dropout"):
        sentence = "--network_dropout is not used: the dropout of --network_args wins over it."
        yield Notice("network_dropout", sentence)
    if arguments.get("dora_wd", "").lower() in ("true", "1"):
        sentence = "DoRA: diffusers reads such files without their dora_scale, and draws something else."
        yield Notice("network_args", sentence)


def _about_kind(network: NetworkOptions, rates: NetworkRateOptions, with_text: bool) -> Iterator[Notice]:
    """What is peculiar to some kinds of networks."""
    module, arguments = (network.network_module or "").removeprefix("sd_scripts."), split_words(network.network_args)
    if module == MODULE:
        for sentence in unused(arguments):
            yield Notice("network_args", sentence)
    normless = module == "networks.oft" or (module == MODULE and arguments.get("algo", "").lower() in WITHOUT_NORMS)
    if rates.scale_weight_norms and normless:
        sentence = "--scale_weight_norms does nothing: this kind of network has no norm to scale."
        yield Notice("scale_weight_norms", sentence)
    if module == "networks.oft" and network.network_alpha >= 1:
        sentence = "networks.oft turns layers as far as --network_alpha says, and 1 is no limit. 0.001 is usual."
        yield Notice("network_alpha", sentence)
    if module == "networks.oft" and with_text:
        sentence = "networks.oft has no part in the text encoder: the U-Net alone is trained."
        yield Notice("network_module", sentence)


def about_comment(header: NetworkHeaderOptions, form: NetworkFormatOptions) -> Iterator[Notice]:
    """A sentence where a remark for the header is written nowhere."""
    if header.training_comment and header.no_metadata:
        yield Notice("training_comment", "--training_comment is not written: --no_metadata leaves it out.")
    elif header.training_comment and form.save_model_as != "safetensors":
        yield Notice("training_comment", "--training_comment is not written: only .safetensors files have a header.")


def about_start(start: StartOptions, state: str | None) -> Iterator[Notice]:
    """A sentence where options of the beginning have no say."""
    if start.initial_epoch is not None and start.initial_step is not None:
        yield Notice("initial_epoch", "--initial_epoch is not used: --initial_step wins over it.")
    option = "initial_epoch" if start.initial_step is None else "initial_step"
    if state and getattr(start, option) is not None:
        sentence = f"With --resume the state says where to go on; --{option} only says where the rate began."
        yield Notice(option, sentence)


def _check_module(network: NetworkOptions) -> None:
    if not network.network_module:
        raise BadOption("network_module", "--network_module is needed: networks.lora.")
    if network.network_dropout == 1:
        raise BadOption("network_dropout", "--network_dropout 1 leaves nothing to learn from. Use less, such as 0.1.")
    if network.dim_from_weights and not network.network_weights:
        raise BadOption("dim_from_weights", "--dim_from_weights needs --network_weights: the file with those ranks.")


def _check_parts(options: NetworkTrainerOptions) -> None:
    rates = options.rates
    both = "network_train_unet_only", "network_train_text_encoder_only"
    if all(getattr(rates, option) for option in both):
        raise BadOption(both[1], f"--{both[0]} and --{both[1]} leave nothing to train. Use one of them.")
    if not (adapts_unet(rates) or options.trained_texts):
        raise BadOption("unet_lr", "Nothing is trained: --unet_lr or --text_encoder_lr must be above 0.")
    if not adapts_unet(rates) and options.text_stop is not None:
        option = "stop_text_encoder_training"
        raise BadOption(option, f"--{option}: nothing else is trained, so nothing would be left. Leave it out.")
    if len(rates.text_encoder_lr or []) > len(options.text_parts):
        one = "the model has one text encoder. Give one number"
        two = "SDXL has two text encoders. Give one number or two"
        sentence = one if len(options.text_parts) == 1 else two
        raise BadOption("text_encoder_lr", f"--text_encoder_lr: {sentence}.")
    if rates.scale_weight_norms == 0:
        raise BadOption("scale_weight_norms", "--scale_weight_norms 0 would leave no change at all. Use 1.")


def _check_rates(options: NetworkTrainerOptions) -> None:
    """D-Adaptation and Prodigy find one factor for one rate."""
    name, rates = optimizer_name(options.optimizer), options.rates
    given = {rates.unet_lr, *(rates.text_encoder_lr or [])} - {None, 0, options.optimizer.learning_rate}
    if given and finds_its_rate(name):
        option = "unet_lr" if rates.unet_lr in given else "text_encoder_lr"
        raise BadOption(option, f"{name} takes one learning rate for everything: leave --{option} out, or set it to 0.")


def _check_base(base: FrozenBaseOptions, mixed_precision: str, gradient_checkpointing: bool) -> None:
    files, strengths = base.base_weights or [], base.base_weights_multiplier
    if strengths is not None and len(strengths) != len(files):
        option = "base_weights_multiplier"
        sentence = f"--{option} has {len(strengths)} numbers for {len(files)} --base_weights. Give one each."
        raise BadOption(option, sentence)
    if base.fp8_base_unet and mixed_precision == "no":
        sentence = "--fp8_base_unet needs --mixed_precision bf16 or fp16: 8 bits are only for keeping."
        raise BadOption("fp8_base_unet", sentence)
    if base.cpu_offload_checkpointing and not gradient_checkpointing:
        raise BadOption("cpu_offload_checkpointing", "--cpu_offload_checkpointing needs --gradient_checkpointing.")


def _check_narrow(options: NetworkTrainerOptions) -> None:
    """A base in few bits is not for a network that takes whole weights from it."""
    narrow = {
        "base_bits": options.base.base_bits,
        "fp8_base_unet": options.base.fp8_base_unet,
        "fp8_base": options.precision.fp8_base,
    }
    given = [option for option, value in narrow.items() if value]
    if len(given) > 1 and given[0] == "base_bits":
        raise BadOption("base_bits", f"--base_bits and --{given[1]} are two ways of the same. Use one of them.")
    if not given or options.network.network_module != MODULE:
        return
    if split_words(options.network.network_args).get("algo", "").lower() == "full":
        raise BadOption(given[0], f"--{given[0]}: algo=full trains copies of the base's own weights. Leave it out.")
    if "fp8" in given[0]:
        sentence = "LyCORIS computes with the base's weights, which it cannot in fp8. Use --base_bits 8."
        raise BadOption(given[0], f"--{given[0]}: {sentence}")


def check_start(start: StartOptions) -> None:
    """A place within an epoch is named where one is asked for. Errors: BadOption."""
    given = [name for name in ("initial_step", "initial_epoch") if getattr(start, name) is not None]
    if start.skip_until_initial_step and not given:
        option = "skip_until_initial_step"
        raise BadOption(option, f"--{option} needs --initial_step or --initial_epoch.")


def check_sources(target: Path, sources: Iterable[tuple[str, str]]) -> None:
    """Files (option, path) are there, and what is written at the end takes the place of none. Errors: BadOption."""
    for option, file in sources:
        if not Path(file).is_file():
            raise BadOption(option, f"--{option} {file}: there is no such file.")
        if target.exists() and target.samefile(file):
            sentence = f"--output_name: {target} is what this training reads. Choose another name."
            raise BadOption("output_name", sentence)


def _check_files(options: NetworkTrainerOptions) -> None:
    """Networks that are read are networks, and for this kind of model. Other packages' modules know their own files."""
    module = (options.network.network_module or "").removeprefix("sd_scripts.")
    if module.startswith("networks.") or module == MODULE:
        for _, file in _sources(options):
            check_network_file(file, options.model.pretrained_model_name_or_path)


def _sources(options: NetworkTrainerOptions) -> Iterator[tuple[str, str]]:
    for file in options.base.base_weights or []:
        yield "base_weights", file
    if options.network.network_weights:
        yield "network_weights", options.network.network_weights
