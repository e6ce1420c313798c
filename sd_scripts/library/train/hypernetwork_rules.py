"""What must be true of a hypernetwork's options, and which of them do nothing. Needs no torch."""

from collections.abc import Iterator
from pathlib import Path

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.fitting import check_hypernetwork_file
from sd_scripts.library.io.headers import model_facts
from sd_scripts.library.networks.hypernetwork_shape import DEFAULT_LAYERS, Shape, check_shape, dropout_of
from sd_scripts.library.notice import Notice
from sd_scripts.library.train.checks.output import last_target
from sd_scripts.library.train.network_rules import about_comment, about_start, check_sources, check_start
from sd_scripts.options.hypernetwork import HypernetworkOptions
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions

# What a file brings along, so that options do not say it.
_OF_THE_FILE = (
    "enable_sizes", "layer_structure", "activation", "layer_norm", "initialisation", "use_dropout",
    "last_layer_dropout", "dropout_structure",
)  # fmt: skip


def asked_shape(asked: HypernetworkOptions) -> Shape:
    """The shape of a new hypernetwork. Errors: BadOption."""
    layers = tuple(asked.layer_structure or DEFAULT_LAYERS)
    dropout = asked.dropout_structure or dropout_of(len(layers), asked.use_dropout, asked.last_layer_dropout)
    shape = Shape(
        layers=layers,
        activation=asked.activation,
        layer_norm=asked.layer_norm,
        dropout=tuple(dropout),
        initialisation=asked.initialisation,
    )
    try:
        check_shape(shape)
    except ValueError as error:
        option = str(error).partition(" ")[0]
        given = " ".join(f"{number:g}" for number in getattr(asked, option) or [])
        raise BadOption(option, f"--{option} {given}: {error}.") from error
    return shape


def check_hypernetwork(options: TrainHypernetworkOptions) -> None:
    """Checks what can be checked before a model is loaded. Errors: BadOption."""
    asked = options.hypernetwork
    if not asked.hypernetwork_weights:
        asked_shape(asked)
    if asked.hypernetwork_strength == 0:
        raise BadOption("hypernetwork_strength", "--hypernetwork_strength 0 leaves nothing to learn from. Use 1.")
    _check_family(options.model.pretrained_model_name_or_path)
    check_start(options.start)
    if asked.hypernetwork_weights:
        check_sources(last_target(options), [("hypernetwork_weights", asked.hypernetwork_weights)])
        check_hypernetwork_file(asked.hypernetwork_weights)
    if options.data.in_json and options.data.reg_data_dir:
        sentence = "--reg_data_dir does not go with --in_json: name folders with --train_data_dir alone."
        raise BadOption("reg_data_dir", sentence)


def idle_hypernetwork(options: TrainHypernetworkOptions) -> Iterator[Notice]:
    """A sentence for each option of a hypernetwork that is given and does nothing, or not what one may think."""
    asked = options.hypernetwork
    if asked.hypernetwork_weights:
        for name in (name for name in _OF_THE_FILE if getattr(asked, name) != getattr(HypernetworkOptions(), name)):
            yield Notice(name, f"--{name} is not used: the file of --hypernetwork_weights has its own.")
    else:
        yield from _about_dropout(asked)
    yield from about_comment(options.header, options.format)
    yield from about_start(options.start, options.state.source)


def _about_dropout(asked: HypernetworkOptions) -> Iterator[Notice]:
    if asked.dropout_structure:
        for name in (name for name in ("use_dropout", "last_layer_dropout") if getattr(asked, name)):
            yield Notice(name, f"--{name} is not used: --dropout_structure says what is left out.")
    elif asked.last_layer_dropout and not asked.use_dropout:
        yield Notice("last_layer_dropout", "--last_layer_dropout does nothing without --use_dropout.")
    elif asked.use_dropout and not any(asked_shape(asked).dropout):
        sentence = "--use_dropout leaves out nothing: there is no layer before the last two. Add --last_layer_dropout."
        yield Notice("use_dropout", sentence)


def _check_family(base: str | None) -> None:
    path = Path(base or "").expanduser()
    if not base or not path.exists():
        return
    try:
        kind = model_facts(path).kind
    except BadFile:
        return
    if kind == "sdxl":
        option = "pretrained_model_name_or_path"
        sentence = f"{base} is an SDXL model; hypernetworks are for Stable Diffusion 1 and 2."
        raise BadOption(option, f"{sentence} Train a LoRA for it: sdxl_train_network.py.")
