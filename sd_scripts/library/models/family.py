"""What a model family is, to the loop and to the stages: loading, encoding, noising, predicting, saving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sd_scripts.library.io.drafts import Draft
    from sd_scripts.library.models.adaptable import Adaptable
    from sd_scripts.library.models.new_vectors import NewVectors
    from sd_scripts.library.models.new_word import NewWord

FileFormat = Literal["ckpt", "pt", "safetensors", "diffusers", "diffusers_safetensors"]
"""Of models, and of what is trained beside them; a whole model is no .pt."""
PredictionType = Literal["epsilon", "v_prediction"]
Tensors: TypeAlias = dict[str, "torch.Tensor"]
"""Tensors by name, with a row for each item: what a family makes of texts, which nobody else looks into."""


@dataclass(frozen=True)
class TextSettings:
    """How texts are read. `clip_skip` n: the layer n from the end, None: the family's own; `max_tokens`: 75 a chunk.

    `weighted`: brackets in captions are weights, as in (word:1.2); those in prompts always are.
    `padded`: all are as long; else as long as the longest of those that are read together, which are of one chunk.
    """

    clip_skip: int | None = None
    max_tokens: Literal[75, 150, 225] = 75
    weighted: bool = False
    padded: bool = True


@dataclass(frozen=True)
class SaveRequest:
    """A checkpoint to write. `path` has no ending; `dtype` None keeps the weights' own; the VAE keeps its own.

    `metadata` stands in the header of a .safetensors file, `facts` beside the weights of a .ckpt.
    """

    path: Path
    format: FileFormat
    dtype: "torch.dtype | None" = None
    metadata: dict[str, str] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)


class Family(Protocol):
    """A loaded model of one family. The loop never asks which one it is."""

    name: str
    """sd1, sd2 or sdxl; later others."""
    latents_suffix: str
    """The last part of the names of its latents on disk: sd or sdxl, whose VAEs differ."""
    source_format: FileFormat
    """The format that the model was read from: what it is saved as by default."""
    prediction_type: PredictionType
    latent_scale: float
    """Latents are multiplied by this before noise is added (0.18215 for SD1 and SD2, 0.13025 for SDXL)."""
    alphas_T: "torch.Tensor"
    """alpha-bar of each training step (Ho et al. 2020, eq. 4)."""
    tokenizers: list[Any]
    """Of each text encoder."""
    unet: "nn.Module"
    vae: "nn.Module"

    @property
    def texts_suffix(self) -> str:
        """The last part of the names of files with what its text encoders make of captions; for SDXL as others do."""

    @property
    def base_version(self) -> str:
        """What files that are made from it call it (ss_base_model_version)."""

    @property
    def text_encoders(self) -> "dict[str, nn.Module]":
        """The text encoders by the names of their parts: text_encoder, or text_encoder1 and text_encoder2."""

    def tokenize(self, texts: Sequence[str], settings: TextSettings, weighted: bool = False) -> Tensors:
        """The texts as numbers for `encode_text`: 77 tokens or chunks * 75 + 2 (formats.md, "Text encoding").

        `weighted`: the brackets of (word:1.2) and [word] are weights, not text.
        """

    def token_count(self, text: str) -> int:
        """Tokens of a text without begin and end, before anything is cut off."""

    def first_vectors(self, text: str | None, count: int, seed: int) -> Tensors:
        """vectors_ND for a new word to begin with, by text encoder: those of a text's tokens, in turn until there are
        `count`; without a text, by lot, as large as usual."""

    def add_word(self, word: "NewWord", vectors: "Mapping[str, torch.Tensor]") -> "dict[str, NewVectors]":
        """Texts have a new word from now on. Gives what holds its vectors, by text encoder."""

    def encode_text(self, tokens: Tensors, settings: TextSettings) -> Tensors:
        """What the U-Net is told of texts, with gradients where text encoders are trained."""

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

    def predict(self, noisy_BCHW: "torch.Tensor", timesteps_B: "torch.Tensor", conditions: Tensors) -> "torch.Tensor":
        """The U-Net's prediction.

        `conditions`: what `encode_text` gave, and sizes_B6: height and width of the whole picture, top and left of the
        part that is seen, height and width of that (Podell et al. 2023, "SDXL", 2.2), in px.
        """

    def target(
        self, latents_BCHW: "torch.Tensor", noise_BCHW: "torch.Tensor", timesteps_B: "torch.Tensor"
    ) -> "torch.Tensor":
        """What the prediction should be: the noise, or the velocity."""

    def unet_blocks(self) -> "list[list[nn.Parameter]]":
        """The U-Net's parameters from its input to its output, by the blocks of the original layout.

        The first holds what reads time, size and texts, the last is the output layer.
        """

    def freeze_unused(self) -> None:
        """No gradient is asked for of weights that no prediction depends on, such as skipped layers."""

    def use_zero_terminal_snr(self) -> None:
        """From now on the last training step is pure noise: in training, in samples, and in saved folders."""

    def use_attention(self, kind: Literal["default", "sdpa", "mem_eff_attn", "xformers", "diffusers_xformers"]) -> None:
        """How attention is computed from now on. Errors: NotInstalled, where xformers is asked for and missing."""

    def use_gradient_checkpointing(self, offload: bool = False, levels: int | None = None) -> None:
        """Activations of U-Net and text encoders are recomputed in the backward pass from now on.

        `offload`: what the U-Net is recomputed from waits in RAM. `levels`: only in so many of the U-Net's levels,
        from the highest resolution on.
        """

    def sampling_scheduler(self, sampler: str) -> Any:
        """A diffusers scheduler for a sampler's name (options.training.Samplers), set up for this model."""

    def adaptable(self) -> "Adaptable":
        """The layers that networks may adapt, with their names in files."""

    def model_spec(self, request: SaveRequest) -> dict[str, str]:
        """What a header says of this model: the keys of Stability's model-spec, then the request's metadata."""

    def save(self, request: SaveRequest) -> Path:
        """Writes the whole model; gives the file or folder written. Errors: BadFile."""

    def draft(self, request: SaveRequest) -> "Draft":
        """The whole model, to be written."""
