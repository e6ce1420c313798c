"""Stable Diffusion 1 and 2: loading, encoding, noising, predicting and saving."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.checkpoints import CPU
from sd_scripts.library.io.headers import check_prediction, check_version
from sd_scripts.library.models import attention, configs, saving, schedule
from sd_scripts.library.models.adaptable import Adaptable, sd_layers
from sd_scripts.library.models.checkpointing import checkpoint_in_ram
from sd_scripts.library.models.clip_tokenizer import (
    count_tokens,
    from_chunks,
    to_chunks,
    tokenize,
    tokenize_weighted,
)
from sd_scripts.library.models.family import FileFormat, PredictionType, SaveRequest, TextSettings
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.prompt_weights import weigh
from sd_scripts.library.models.samplers import sampling_scheduler
from sd_scripts.library.models.sources import Parts, Source, open_source
from sd_scripts.library.models.vae import read_vae
from sd_scripts.library.models.weights import one_dtype
from sd_scripts.library.report import Report


def load(
    name_or_path: str,
    v2: bool = False,
    v_parameterization: bool = False,
    vae: str | None = None,
    report: Report | None = None,
    device: torch.device = CPU,
) -> "StableDiffusion":
    """A model out of a .safetensors or .ckpt file (which needs no hub), a diffusers folder or a hub id.

    Its weights are read straight onto `device`.

    Errors: BadFile, when it is no such model; BadOption, when an option and the model disagree.
    """
    path = model_path(name_or_path)
    source = open_source(path, device)
    _check(source, v2, v_parameterization)
    if v_parameterization and not source.prediction_type and not source.variant.config_v and report:
        few = "few Stable Diffusion 1 models do. Leave out --v_parameterization if it predicts noise"
        report.notice(f"{path} is taken for a model that predicts velocity, as {few}.", "warning")
    known = configs.base_config(source.variant.config)
    if v_parameterization:
        known = _merged(known, configs.base_config(source.variant.config_v)) if source.variant.config_v else known
        known["scheduler"]["prediction_type"] = "v_prediction"
    own_vae = read_vae(model_path(vae, only="vae"), v2, device) if vae else source.vae()
    return StableDiffusion(source, source.parts(known), own_vae, known["scheduler"], report)


class StableDiffusion:
    """A loaded model: the Family of models/family.py for SD1 and SD2."""

    def __init__(
        self, source: Source, parts: Parts, vae: Any, scheduler: configs.Config, report: Report | None = None
    ) -> None:
        self.variant = source.variant
        self.name = source.variant.name
        self.source_format: FileFormat = source.format
        self.prediction_type: PredictionType = scheduler["prediction_type"]
        self.unet, self.text_encoder, self.vae = parts.unet, parts.text_encoder, vae
        self.tokenizer = parts.tokenizer
        self.rest = parts.rest
        self.vae_dtype = one_dtype(vae.state_dict())
        self.latent_scale = float(vae.config.scaling_factor)
        self._scheduler = scheduler
        self.alphas_T = schedule.alphas_cumprod(
            scheduler["num_train_timesteps"], scheduler["beta_start"], scheduler["beta_end"]
        )
        self._report = report or Report()
        self._said_filled = False
        self._pad_id = self.tokenizer.convert_tokens_to_ids(source.variant.pad_token)

    def tokenize(self, texts: Sequence[str], settings: TextSettings) -> Tensor:
        """tokens_BL: begin, tokens, end, padding; L = 77, 152 or 227."""
        return tokenize(self.tokenizer, texts, settings.max_tokens, self._pad_id)

    def tokenize_weighted(self, texts: Sequence[str], settings: TextSettings) -> tuple[Tensor, Tensor]:
        """tokens_BL and weights_BL of texts like "a (red:1.3) cat"."""
        return tokenize_weighted(self.tokenizer, texts, settings.max_tokens, self._pad_id)

    def token_count(self, text: str) -> int:
        """Tokens of a text without begin and end, before anything is cut off."""
        return count_tokens(self.tokenizer, text)

    def encode_text(self, tokens_BL: Tensor, settings: TextSettings, weights_BL: Tensor | None = None) -> Tensor:
        """hidden_BLD, each token with its weight. Errors: BadOption, when the encoder cannot skip as many layers."""
        layer = self._layer(settings)
        chunks_BNC = to_chunks(tokens_BL, self.tokenizer.eos_token_id, self._pad_id)
        hidden_MCD = self._encode_chunks(chunks_BNC.flatten(0, 1), layer)
        hidden_BLD = from_chunks(hidden_MCD.unflatten(0, chunks_BNC.shape[:2]))
        return hidden_BLD if weights_BL is None else weigh(hidden_BLD, weights_BL)

    def encode_images(
        self, pixels_BCHW: Tensor, generator: torch.Generator | list[torch.Generator] | None = None
    ) -> Tensor:
        """latents_BCHW: the posterior's sample, not scaled."""
        return self.vae.encode(pixels_BCHW.to(self.vae.dtype)).latent_dist.sample(generator)

    def decode_latents(self, latents_BCHW: Tensor) -> Tensor:
        """pixels_BCHW of unscaled latents."""
        return self.vae.decode(latents_BCHW.to(self.vae.dtype)).sample

    def add_noise(self, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """Noisy latents of scaled ones."""
        return schedule.noisy(self._alphas_on(timesteps_B.device), latents_BCHW, noise_BCHW, timesteps_B)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, hidden_BLD: Tensor) -> Tensor:
        """The noise, or the velocity, as the U-Net sees it."""
        return self.unet(noisy_BCHW, timesteps_B, encoder_hidden_states=hidden_BLD).sample

    def target(self, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The noise, or the velocity."""
        if self.prediction_type == "epsilon":
            return noise_BCHW
        return schedule.velocity(self._alphas_on(timesteps_B.device), latents_BCHW, noise_BCHW, timesteps_B)

    def use_zero_terminal_snr(self) -> None:
        """The last training step is pure noise from now on; samples and saved folders know of it."""
        self.alphas_T = schedule.with_zero_terminal_snr(self.alphas_T)
        # A sampler must begin at that step, but noise says nothing there to a model that predicts noise.
        spacing = "trailing" if self.prediction_type == "v_prediction" else "leading"
        self._scheduler = self._scheduler | {"rescale_betas_zero_snr": True, "timestep_spacing": spacing}

    def use_attention(self, kind: Literal["default", "sdpa", "mem_eff_attn", "xformers", "diffusers_xformers"]) -> None:
        """How the U-Net attends from now on. Errors: NotInstalled."""
        attention.use_attention(self.unet, kind)

    def use_gradient_checkpointing(self, offload: bool = False) -> None:
        """Activations are recomputed in the backward pass; in the text encoder only while it is in training mode."""
        self.unet.enable_gradient_checkpointing(checkpoint_in_ram if offload else None)
        self.text_encoder.activation_checkpointing_enable()

    def sampling_scheduler(self, sampler: str) -> Any:
        """A diffusers scheduler for a sampler's name, with the training's betas and prediction type."""
        return sampling_scheduler(sampler, self._scheduler)

    def adaptable(self) -> Adaptable:
        """The layers that networks may adapt."""
        return sd_layers(self.unet, self.text_encoder)

    def model_spec(self, request: SaveRequest) -> dict[str, str]:
        """What a header says of this model."""
        return saving.model_spec(self, request)

    def save(self, request: SaveRequest) -> Path:
        """Writes the whole model; gives the file or folder. Errors: BadFile."""
        missing = request.format in ("ckpt", "safetensors") and saving.filled_names(self)
        if missing and not self._said_filled:
            self._said_filled = True
            self._report.notice(
                f"{len(missing)} tensors of the original layout are not in diffusers models: the text encoder's unused "
                "last block and its head. They are filled in; no picture depends on them."
            )
        return saving.save(self, request)

    def _alphas_on(self, device: torch.device) -> Tensor:
        # Moved once: a copy in every step would wait for all that the device still has to do.
        self.alphas_T = self.alphas_T.to(device)
        return self.alphas_T

    def _layer(self, settings: TextSettings) -> int:
        """Which layer is read, counted from the end: 1 is the last."""
        layer, layers = settings.clip_skip or 1, self.text_encoder.config.num_hidden_layers
        if layer > 1 and not self.variant.takes_clip_skip:
            raise BadOption("clip_skip", "clip_skip does not go with v2: Stable Diffusion 2 skips a layer by itself.")
        if layer > layers:
            raise BadOption("clip_skip", f"clip_skip {layer} is more than the {layers} layers of the text encoder.")
        return layer

    def _encode_chunks(self, tokens_MC: Tensor, layer: int) -> Tensor:
        """hidden_MCD of the layer-th layer from the end, after the final norm."""
        output = self.text_encoder(tokens_MC, output_hidden_states=layer > 1)
        if layer == 1:
            return output.last_hidden_state
        inner = getattr(self.text_encoder, "text_model", self.text_encoder)
        return inner.final_layer_norm(output.hidden_states[-layer])


def _check(source: Source, v2: bool, v_parameterization: bool) -> None:
    check_version(source.path, source.variant.name, v2)
    check_prediction(source.path, source.prediction_type, v_parameterization)


def _merged(known: dict[str, configs.Config], more: dict[str, configs.Config]) -> dict[str, configs.Config]:
    return {part: config | more.get(part, {}) for part, config in known.items()}
