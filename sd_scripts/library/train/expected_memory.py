"""The memory that a training with given options is expected to take: from its options and its model. Needs no torch."""

from dataclasses import dataclass
from typing import Any

from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.subsets import Dataset
from sd_scripts.library.footprint.layers import Beside
from sd_scripts.library.footprint.training import Footprint, Model, Setting, footprint
from sd_scripts.library.footprint.unet import Picture
from sd_scripts.library.networks.arguments import split_words
from sd_scripts.library.networks.hypernetwork_shape import DEFAULT_LAYERS
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.options.inversion import InversionTrainerOptions
from sd_scripts.options.network import FrozenBaseOptions
from sd_scripts.options.trainer import FullTrainerOptions, NetworkTrainerOptions, TrainerOptions

_DEFAULT_RANK = 4
_LATENT_PX = 8
_USUAL_PX = (512, 512)

PROCESS_BYTES = 0.65e9
"""What a training's process takes on a CPU besides its tensors: Python, torch and the libraries, with their working
memory. Measured with benchmarks/memory.py."""


@dataclass(frozen=True)
class Trained:
    """What is trained: `whole`, the model's own weights, or what is `beside` them; in the U-Net, and through which text
    encoders gradients pass; `others`: numbers that no layer has."""

    whole: bool
    learning: tuple[bool, ...]
    adapts_unet: bool = True
    beside: Beside = Beside()
    others: int = 0


def expected(options: TrainerOptions, model: Model, size_px: tuple[int, int], batch: int, on_cpu: bool) -> Footprint:
    """The memory of a training of pictures of this size (width, height). Errors: BadOption."""
    return footprint(setting_of(options, model, size_px, batch, on_cpu))


def setting_of(options: TrainerOptions, model: Model, size_px: tuple[int, int], batch: int, on_cpu: bool) -> Setting:
    """What options come to, for the formula. Errors: BadOption."""
    precision, trained = options.precision, trained_by(options, model)
    weights = 2 if precision.full_fp16 or precision.full_bf16 else 4
    computed = 4 if precision.mixed_precision == "no" else 2
    frozen_unet, frozen_text = _frozen_bytes(options, weights if trained.whole else computed)
    resolution, caches = options.resolution, options.text_cache.asked
    cached = resolution.cache_latents or resolution.cache_latents_to_disk or _prepared(options)
    return Setting(
        model=model,
        picture=Picture(batch, size_px[1] // _LATENT_PX, size_px[0] // _LATENT_PX, _tokens(options)),
        whole=trained.whole,
        adapts_unet=trained.adapts_unet,
        learning=trained.learning,
        beside=trained.beside,
        others=trained.others,
        computed=computed,
        weights=weights,
        frozen_unet=frozen_unet,
        frozen_text=frozen_text,
        optimizer=optimizer_name(options.optimizer),
        on_cpu=on_cpu,
        recomputes=precision.gradient_checkpointing,
        levels=precision.gradient_checkpointing_levels,
        offloads=bool(getattr(_base(options), "cpu_offload_checkpointing", False)) and not on_cpu,
        sliced=options.attention.mem_eff_attn,
        rounds=precision.stochastic_rounding,
        in_backward=precision.fused_backward_pass or bool(options.groups.portions),
        adds_up=options.length.gradient_accumulation_steps > 1,
        average=bool(options.average.ema_decay) and (on_cpu or not options.average.ema_on_cpu),
        vae=on_cpu or precision.lowram or precision.highvram or not cached,
        idle_texts=on_cpu or not caches,
    )


def largest_asked(options: TrainerOptions) -> tuple[int, int]:
    """The size that options ask for, where pictures are not looked at: buckets have about as many pixels."""
    sizes_px = [rules.resolution_px for dataset in _datasets(options) if (rules := dataset.rules)]
    return max(sizes_px, key=lambda size_px: size_px[0] * size_px[1], default=_USUAL_PX)


def _datasets(options: TrainerOptions) -> list[Dataset]:
    return [] if options.data.dataset_class else asked_datasets(options)


def trained_by(options: TrainerOptions, model: Model) -> Trained:
    """What the options have trained. Errors: BadOption."""
    none = (False,) * len(model.texts)
    if isinstance(options, FullTrainerOptions):
        return Trained(True, _learning(list(options.method.trained_texts), model))
    if isinstance(options, NetworkTrainerOptions):
        words = split_words(options.network.network_args)
        conv = words.get("conv_dim", "0")
        beside = Beside(options.network.network_dim or _DEFAULT_RANK, int(conv) if conv.isdigit() else 0)
        in_unet = not options.rates.network_train_text_encoder_only and options.rates.unet_lr != 0
        return Trained(False, _learning(options.trained_texts, model), in_unet, beside)
    if isinstance(options, InversionTrainerOptions):
        vectors = options.inversion.num_vectors_per_token
        return Trained(False, tuple(not one for one in none), others=vectors * sum(text.width for text in model.texts))
    asked: Any = getattr(options, "hypernetwork", None)
    layers = tuple((asked and asked.layer_structure) or DEFAULT_LAYERS)
    return Trained(False, none, beside=Beside(multiples=layers))


def _learning(parts: list[str], model: Model) -> tuple[bool, ...]:
    """Which of the model's text encoders these parts are: text_encoder, or text_encoder1 and text_encoder2."""
    if len(model.texts) == 1:
        return (bool(parts),)
    return tuple(f"text_encoder{number}" in parts for number in range(1, len(model.texts) + 1))


def _frozen_bytes(options: TrainerOptions, held: float) -> tuple[float, float]:
    """Bytes of a number of the U-Net and of text encoders that are frozen."""
    base = _base(options)
    bits = getattr(base, "base_bits", None)
    if bits:
        return bits / 8, bits / 8
    text = 1 if options.precision.fp8_base else held
    return (1 if getattr(base, "fp8_base_unet", False) else text), text


def _prepared(options: TrainerOptions) -> bool:
    """Whether latents come with the metadata: then no size is asked for."""
    return not options.resolution.resolution


def _tokens(options: TrainerOptions) -> int:
    return (options.text.max_token_length or 75) + 2


def _base(options: TrainerOptions) -> FrozenBaseOptions | None:
    """How the frozen model is held, where one is frozen."""
    return getattr(options, "base", None)
