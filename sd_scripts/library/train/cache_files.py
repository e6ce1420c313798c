"""Makes the files of a training before it: latents, and what text encoders make of captions. By the trainers' code."""

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from sd_scripts.library import events
from sd_scripts.library.data.prefetch import Readers
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.errors import NothingUsable
from sd_scripts.library.io.headers import check_layers
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.family import Family, TextSettings
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.sources import open_source
from sd_scripts.library.models.vae import read_vae, vae_hash
from sd_scripts.library.report import Report, counted
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.caching import cache_latents
from sd_scripts.library.train.checks.cache_files import family_of
from sd_scripts.library.train.device import main_report, make_accelerator
from sd_scripts.library.train.keepers import OnDisk
from sd_scripts.library.train.precision import computed_in, encoding_precision, store_in_fp8
from sd_scripts.library.train.team import Team
from sd_scripts.library.train.text_caching import write_files
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.cache_tools import CacheModelOptions
from sd_scripts.options.trainer import TrainerOptions

_BUILDERS: dict[str, Any] = {"sd1": sd.from_source, "sd2": sd.from_source, "sdxl": sdxl.from_source}


class OnlyVae:
    """As much of a family as makes latents: the rest of the model is not read."""

    def __init__(self, vae: nn.Module) -> None:
        self.vae: Any = vae.float().requires_grad_(False)

    def encode_images(self, pixels_BCHW: Tensor, generator: Any = None) -> Tensor:
        """latents_BCHW: the posterior's sample, not scaled."""
        return cast(Tensor, self.vae.encode(pixels_BCHW.to(self.vae.dtype)).latent_dist.sample(generator))


def make_latents(model: CacheModelOptions, training: TrainerOptions, report: Report) -> None:
    """The files that the training would make with cache_latents_to_disk. Errors: BadOption, BadFile, NothingUsable."""
    report = main_report(report)
    accelerator = make_accelerator(training)
    name = training.model.vae or model.pretrained_model_name_or_path or ""
    report.phase("load_model", f"Loading the VAE of {name}")
    kind = "sdxl" if model.sdxl else family_of(_base(model)) or ("sd2" if model.v2 else "sd1")
    vae = read_vae(model_path(name, only="vae"), kind, mapped=not model.disable_mmap_load_safetensors)
    precision = encoding_precision(training)
    data = read_data(training, report, vae_hash(vae), "sdxl" if kind == "sdxl" else "sd", precision)
    _say_read_whole(model, report)
    encoder = Encoder(cast(Family, OnlyVae(vae)), accelerator, precision == "no")
    readers, batch_size = Readers(training.data.max_data_loader_n_workers), training.resolution.vae_batch_size
    made = kept = left = 0
    for part in [data, data.held_out] if data.held_out else [data]:
        keeper = OnDisk(part, encoder)
        missing, failed = len(keeper.missing()), report.failed
        if missing and not left:
            cache_latents(keeper, part.images, batch_size, readers, _team(accelerator), report)
        still = len(keeper.missing())
        made += missing - still - (report.failed - failed)
        kept += len(part.images) - missing
        left += still
    _tell(report, "latents", made, kept, left)


def make_texts(model: CacheModelOptions, training: TrainerOptions, report: Report) -> None:
    """The files that the training would make with cache_text_encoder_outputs_to_disk. Errors: BadOption, BadFile."""
    report = main_report(report)
    accelerator = make_accelerator(training)
    report.phase("load_model", f"Loading the text encoders of {model.pretrained_model_name_or_path}")
    _say_read_whole(model, report)
    family = _load(model, report)
    _check_layers(training, family)
    # Latents are of no use here, so none are looked for.
    data = read_data(training, report, latents_suffix="")
    dtype = computed_in(training.precision)
    for module in family.text_encoders.values():
        module.requires_grad_(False).eval().to(dtype)
        if training.precision.fp8_base:
            store_in_fp8(module, keep_exact=False)
        module.to(accelerator.device)
    text = training.text
    settings = TextSettings(text.layer, text.max_token_length or 75, text.weighted_captions)
    texts = Texts(family, settings, accelerator, trained=False, keep=True)
    written = write_files(family, texts, data, training, _team(accelerator), report)
    _tell(report, "captions", written.made, written.files - written.missing, written.missing - written.made)


def _say_read_whole(model: CacheModelOptions, report: Report) -> None:
    if model.disable_mmap_load_safetensors:
        report.say("Files of weights are read as a whole, not mapped into memory.")


def _tell(report: Report, what: str, made: int, kept: int, left: int) -> None:
    """Says how it went. Errors: NothingUsable."""
    text = f"{counted(made, 'file')} of {what} made, {kept:,} were there and fit."
    if left:
        text = f"Stopped as asked: {text} {left:,} are still to be made; run it again for them."
    report.summary(text, made=made, kept=kept)
    if left:
        report.emit(events.Stopped(sentence=text))
    elif not made and not kept:
        raise NothingUsable(f"No files of {what} could be made; the reasons stand above.")


def _load(model: CacheModelOptions, report: Report) -> Family:
    """The text encoders of the model: nothing else of it is read."""
    path = model_path(model.pretrained_model_name_or_path or "")
    mapped = not model.disable_mmap_load_safetensors
    source = open_source(path, kinds=tuple(_BUILDERS), mapped=mapped)
    velocity = source.prediction_type == "v_prediction"
    return cast(Family, _BUILDERS[source.variant.name](source, velocity, None, report))


def _check_layers(training: TrainerOptions, family: Family) -> None:
    first: Any = next(iter(family.text_encoders.values()))
    check_layers(training.text.layer, first.config.num_hidden_layers)


def _base(model: CacheModelOptions) -> Path:
    return Path(model.pretrained_model_name_or_path or "").expanduser()


def _team(accelerator: Any) -> Team:
    return Team(accelerator.process_index, accelerator.num_processes)
