"""What Stable Diffusion 1, 2 and XL have in common: noise and its schedule, the VAE, and how they are saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sd_scripts.library.io.drafts import Draft
from sd_scripts.library.models import attention, configs, saving, schedule
from sd_scripts.library.models.checkpointing import checkpoint_in_ram, keep_below
from sd_scripts.library.models.clip_tokenizer import count_tokens
from sd_scripts.library.models.family import FileFormat, PredictionType, SaveRequest
from sd_scripts.library.models.layout.unet import block_count, block_of, names_of
from sd_scripts.library.models.moving import moved
from sd_scripts.library.models.new_vectors import NewVectors, add_vectors, vectors_by_lot, vectors_of
from sd_scripts.library.models.new_word import NewWord, taught
from sd_scripts.library.models.samplers import sampling_scheduler
from sd_scripts.library.models.sources import Parts, Source
from sd_scripts.library.models.weights import one_dtype
from sd_scripts.library.report import Report, counted
from sd_scripts.library.seeds import derive


class LatentDiffusion:
    """The part of a Family (models/family.py) that does not depend on how texts are read."""

    latents_suffix = "sd"

    def __init__(
        self, source: Source, parts: Parts, vae: Any, scheduler: configs.Config, report: Report | None = None
    ) -> None:
        self.variant = source.variant
        self.name = source.variant.name
        self.source_format: FileFormat = source.format
        self.prediction_type: PredictionType = scheduler["prediction_type"]
        self.unet, self.vae = parts.unet, vae
        self.tokenizers = parts.tokenizers
        self.rest = parts.rest
        if vae is not None:
            self.vae_dtype = one_dtype(vae.state_dict())
            self.latent_scale = float(vae.config.scaling_factor)
        self._scheduler = scheduler
        self.alphas_T = schedule.alphas_cumprod(
            scheduler["num_train_timesteps"], scheduler["beta_start"], scheduler["beta_end"]
        )
        self._report = report or Report()
        self._said_filled = False

    @property
    def texts_suffix(self) -> str:
        """The last part of the names of files with what its text encoders make of captions."""
        return f"{self.name}_te_outputs"

    @property
    def text_encoders(self) -> dict[str, nn.Module]:
        """The text encoders by the names of their parts."""
        raise NotImplementedError

    def token_count(self, text: str) -> int:
        """Tokens of a text without begin and end, before anything is cut off."""
        return count_tokens(self.tokenizers[0], text)

    def first_vectors(self, text: str | None, count: int, seed: int) -> dict[str, Tensor]:
        """What a new word begins with: the vectors of a text's tokens in turn, or usual numbers by lot."""
        parts = zip(self.text_encoders.items(), self.tokenizers, strict=True)
        if text is None:
            return {part: vectors_by_lot(module, count, derive(seed, part)) for (part, module), _ in parts}
        return {part: vectors_of(module, tokenizer, text, count) for (part, module), tokenizer in parts}

    def add_word(self, word: NewWord, vectors: Mapping[str, Tensor]) -> dict[str, NewVectors]:
        """Texts have one word more from now on."""
        first_id = len(self.tokenizers[0])
        ids = list(range(first_id, first_id + word.count))
        # Other models may share the tokenizers.
        self.tokenizers = [taught(tokenizer, word, ids) for tokenizer in self.tokenizers]
        parts = zip(self.text_encoders.items(), self.tokenizers, strict=True)
        return {
            part: add_vectors(module, vectors[part], first_id, tokenizer.eos_token_id)
            for (part, module), tokenizer in parts
        }

    def encode_images(
        self, pixels_BCHW: Tensor, generator: torch.Generator | list[torch.Generator] | None = None
    ) -> Tensor:
        """latents_BCHW: the posterior's sample, not scaled."""
        posterior = self.vae.encode(pixels_BCHW.to(self.vae.dtype)).latent_dist
        if not isinstance(generator, list):
            return posterior.sample(generator)
        # As diffusers draws it, but that the host need not wait until the device takes it.
        like = posterior.mean
        drawn = [torch.randn((1, *like.shape[1:]), generator=one, dtype=like.dtype) for one in generator]
        return like + posterior.std * moved(torch.cat(drawn), like.device)

    def decode_latents(self, latents_BCHW: Tensor) -> Tensor:
        """pixels_BCHW of unscaled latents."""
        return self.vae.decode(latents_BCHW.to(self.vae.dtype)).sample

    def add_noise(self, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """Noisy latents of scaled ones."""
        return schedule.noisy(self._alphas_on(timesteps_B.device), latents_BCHW, noise_BCHW, timesteps_B)

    def target(self, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The noise, or the velocity."""
        if self.prediction_type == "epsilon":
            return noise_BCHW
        return schedule.velocity(self._alphas_on(timesteps_B.device), latents_BCHW, noise_BCHW, timesteps_B)

    def unet_blocks(self) -> list[list[nn.Parameter]]:
        """The U-Net's parameters by the blocks of the original layout, from its input to its output."""
        config = self.unet.config
        names = names_of(config)
        blocks: list[list[nn.Parameter]] = [[] for _ in range(block_count(config))]
        for name, parameter in self.unet.named_parameters():
            blocks[block_of(names.to_original(name) or "", config)].append(parameter)
        return blocks

    def freeze_unused(self) -> None:
        """Every weight serves a prediction."""

    def use_zero_terminal_snr(self) -> None:
        """The last training step is pure noise from now on; samples and saved folders know of it."""
        self.alphas_T = schedule.with_zero_terminal_snr(self.alphas_T)
        # A sampler must begin at that step, but noise says nothing there to a model that predicts noise.
        spacing = "trailing" if self.prediction_type == "v_prediction" else "leading"
        self._scheduler = self._scheduler | {"rescale_betas_zero_snr": True, "timestep_spacing": spacing}

    def use_attention(self, kind: Literal["default", "sdpa", "mem_eff_attn", "xformers", "diffusers_xformers"]) -> None:
        """How the U-Net attends from now on. Errors: NotInstalled."""
        attention.use_attention(self.unet, kind)

    def use_gradient_checkpointing(self, offload: bool = False, levels: int | None = None) -> None:
        """Activations are recomputed in the backward pass; in a text encoder only while it is in training mode."""
        self.unet.enable_gradient_checkpointing(checkpoint_in_ram if offload else None)
        if levels is not None:
            keep_below(self.unet, levels)
        for text_encoder in self.text_encoders.values():
            text_encoder.activation_checkpointing_enable()

    def sampling_scheduler(self, sampler: str) -> Any:
        """A diffusers scheduler for a sampler's name, with the training's betas and prediction type."""
        return sampling_scheduler(sampler, self._scheduler)

    def model_spec(self, request: SaveRequest) -> dict[str, str]:
        """What a header says of this model."""
        return saving.model_spec(self, request)

    def save(self, request: SaveRequest) -> Path:
        """Writes the whole model; gives the file or folder. Errors: BadFile."""
        return self.draft(request).write(request.path).path

    def draft(self, request: SaveRequest) -> Draft:
        """The whole model, to be written."""
        missing = request.format in ("ckpt", "safetensors") and saving.filled_names(self)
        if missing and not self._said_filled:
            self._said_filled = True
            self._report.notice(
                f"Filled in: {counted(len(missing), 'tensor')} of the original layout that diffusers models lack, "
                "since text encoders do not use them. No picture depends on them."
            )
        return saving.draft(self, request)

    def _pad_id(self, number: int) -> int:
        """The id with which the texts of the number-th text encoder are filled up."""
        return int(self.tokenizers[number].convert_tokens_to_ids(self.variant.texts[number].pad_token))

    def _alphas_on(self, device: torch.device) -> Tensor:
        # Moved once: a copy in every step would wait for all that the device still has to do.
        self.alphas_T = self.alphas_T.to(device)
        return self.alphas_T
