"""What a model family is, to the loop and to the stages: loading, encoding, noising, predicting, saving."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sd_scripts.library.models.adaptable import Adaptable

FileFormat = Literal["ckpt", "pt", "safetensors", "diffusers", "diffusers_safetensors"]
"""Of models, and of what is trained beside them; a whole model is no .pt."""
PredictionType = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class TextSettings:
    """How texts are read. `clip_skip` n: the layer n from the end, None: the family's own; `max_tokens`: 75 a chunk.

    `weighted`: brackets in captions are weights, as in (word:1.2); those in prompts always are.
    """

    clip_skip: int | None = None
    max_tokens: Literal[75, 150, 225] = 75
    weighted: bool = False


@dataclass(frozen=True)
class SaveRequest:
    """A checkpoint to write. `path` has no ending; `dtype` None keeps the weights' own; the VAE keeps its own."""

    path: Path
    format: FileFormat
    dtype: "torch.dtype | None" = None
    metadata: dict[str, str] = field(default_factory=dict)


class Family(Protocol):
    """A loaded model of one family. The loop never asks which one it is."""

    name: str
    """sd1 or sd2; later sdxl and others."""
    source_format: FileFormat
    """The format that the model was read from: what it is saved as by default."""
    prediction_type: PredictionType
    latent_scale: float
    """Latents are multiplied by this before noise is added (0.18215 for SD1 and SD2)."""
    alphas_T: "torch.Tensor"
    """alpha-bar of each training step (Ho et al. 2020, eq. 4)."""
    unet: "nn.Module"
    text_encoder: "nn.Module"
    vae: "nn.Module"
    tokenizer: Any

    def tokenize(self, texts: Sequence[str], settings: TextSettings) -> "torch.Tensor":
        """tokens_BL: B texts, L = 77 or chunks * 75 + 2 (formats.md, "Text encoding")."""

    def tokenize_weighted(self, texts: Sequence[str], settings: TextSettings) -> "tuple[torch.Tensor, torch.Tensor]":
        """tokens_BL and weights_BL: the brackets of (word:1.2) and [word] are weights, not text."""

    def token_count(self, text: str) -> int:
        """Tokens of a text without begin and end, before anything is cut off."""

    def encode_text(
        self, tokens_BL: "torch.Tensor", settings: TextSettings, weights_BL: "torch.Tensor | None" = None
    ) -> "torch.Tensor":
        """hidden_BLD: what the U-Net attends to, with gradients where the text encoder is trained."""

    def encode_images(
        self, pixels_BCHW: "torch.Tensor", generator: "torch.Generator | list[torch.Generator] | None" = None
    ) -> "torch.Tensor":
        """latents_BCHW: the posterior's sample, not scaled, of pixels in -1 to 1. One generator, or one an image."""

    def decode_latents(self, latents_BCHW: "torch.Tensor") -> "torch.Tensor":
        """pixels_BCHW in -1 to 1 of unscaled latents."""

    def add_noise(
        self, latents_BCHW: "torch.Tensor", noise_BCHW: "torch.Tensor", timesteps_B: "torch.Tensor"
    ) -> "torch.Tensor":
        """Noisy latents of scaled ones, by the training schedule."""

    def predict(
        self, noisy_BCHW: "torch.Tensor", timesteps_B: "torch.Tensor", hidden_BLD: "torch.Tensor"
    ) -> "torch.Tensor":
        """The U-Net's prediction."""

    def target(
        self, latents_BCHW: "torch.Tensor", noise_BCHW: "torch.Tensor", timesteps_B: "torch.Tensor"
    ) -> "torch.Tensor":
        """What the prediction should be: the noise, or the velocity."""

    def use_zero_terminal_snr(self) -> None:
        """From now on the last training step is pure noise: in training, in samples, and in saved folders."""

    def use_attention(self, kind: Literal["default", "sdpa", "mem_eff_attn", "xformers", "diffusers_xformers"]) -> None:
        """How attention is computed from now on. Errors: NotInstalled, where xformers is asked for and missing."""

    def use_gradient_checkpointing(self, offload: bool = False) -> None:
        """Activations of U-Net and text encoder are recomputed in the backward pass from now on.

        `offload`: what the U-Net is recomputed from waits in RAM.
        """

    def sampling_scheduler(self, sampler: str) -> Any:
        """A diffusers scheduler for a sampler's name (options.training.Samplers), set up for this model."""

    def adaptable(self) -> "Adaptable":
        """The layers that networks may adapt, with their names in files."""

    def model_spec(self, request: SaveRequest) -> dict[str, str]:
        """What a header says of this model: the keys of Stability's model-spec, then the request's metadata."""

    def save(self, request: SaveRequest) -> Path:
        """Writes the whole model; gives the file or folder written. Errors: BadFile."""
