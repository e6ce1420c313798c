"""Stable Diffusion 1 and 2: loading, encoding, predicting."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.checkpoints import CPU
from sd_scripts.library.io.headers import check_prediction, check_version
from sd_scripts.library.models import configs
from sd_scripts.library.models.adaptable import Adaptable, sd_layers
from sd_scripts.library.models.clip_tokenizer import (
    from_chunks,
    to_chunks,
    tokenize,
    tokenize_weighted,
    without_padding,
)
from sd_scripts.library.models.family import Tensors, TextSettings
from sd_scripts.library.models.latent_diffusion import LatentDiffusion
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.prompt_weights import weigh
from sd_scripts.library.models.sources import Parts, Source, open_source
from sd_scripts.library.models.vae import read_vae
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
    source = open_source(model_path(name_or_path), device)
    check_version(source.path, source.variant.name, v2)
    own_vae = read_vae(model_path(vae, only="vae"), source.variant.config, device) if vae else source.vae()
    return from_source(source, v_parameterization, own_vae, report)


def from_source(source: Source, v_parameterization: bool, vae: Any, report: Report | None = None) -> "StableDiffusion":
    """A model that was found, with a VAE; without one its text encoders alone are read.

    Errors: BadFile; BadOption, when it says that it predicts something else.
    """
    check_prediction(source.path, source.prediction_type, v_parameterization)
    if v_parameterization and not source.prediction_type and not source.variant.config_v and report:
        few = "few Stable Diffusion 1 models do. Leave out --v_parameterization if it predicts noise"
        report.notice(f"{source.path} is taken for a model that predicts velocity, as {few}.", "warning")
    known = configs.base_config(source.variant.config)
    if v_parameterization:
        known = _merged(known, configs.base_config(source.variant.config_v)) if source.variant.config_v else known
        known["scheduler"]["prediction_type"] = "v_prediction"
    parts = source.texts(known) if vae is None else source.parts(known)
    return StableDiffusion(source, parts, vae, known["scheduler"], report)


class StableDiffusion(LatentDiffusion):
    """A loaded model: the Family of models/family.py for SD1 and SD2."""

    def __init__(
        self, source: Source, parts: Parts, vae: Any, scheduler: configs.Config, report: Report | None = None
    ) -> None:
        super().__init__(source, parts, vae, scheduler, report)
        (self.text_encoder,) = parts.text_encoders

    @property
    def base_version(self) -> str:
        """sd_v1, sd_v2 or either with _v, where it predicts velocity."""
        return f"sd_v{self.name[-1]}{'_v' if self.prediction_type == 'v_prediction' else ''}"

    @property
    def text_encoders(self) -> dict[str, nn.Module]:
        """The one text encoder."""
        return {"text_encoder": self.text_encoder}

    def tokenize(self, texts: Sequence[str], settings: TextSettings, weighted: bool = False) -> Tensors:
        """tokens_BL: begin, tokens, end, padding; L = 77, 152 or 227, or less. Weighted texts have weights_BL too."""
        how = self.tokenizers[0], texts, settings.max_tokens, self._pad_id(0)
        tokens_BL, weights_BL = tokenize_weighted(*how) if weighted else (tokenize(*how), None)
        if not settings.padded:
            tokens_BL = without_padding(tokens_BL, self.tokenizers[0].eos_token_id)
        if weights_BL is None:
            return {"tokens_BL": tokens_BL}
        return {"tokens_BL": tokens_BL, "weights_BL": weights_BL[:, : tokens_BL.shape[1]]}

    def encode_text(self, tokens: Tensors, settings: TextSettings) -> Tensors:
        """hidden_BLD, each token with its weight. Errors: BadOption, when the encoder cannot skip as many layers."""
        layer = self._layer(settings)
        chunks_BNC = to_chunks(tokens["tokens_BL"], self.tokenizers[0].eos_token_id, self._pad_id(0))
        hidden_MCD = self._encode_chunks(chunks_BNC.flatten(0, 1), layer)
        hidden_BLD = from_chunks(hidden_MCD.unflatten(0, chunks_BNC.shape[:2]))
        return {"hidden_BLD": weigh(hidden_BLD, tokens["weights_BL"]) if "weights_BL" in tokens else hidden_BLD}

    def encode_ids(self, ids_BL: Tensor, settings: TextSettings) -> Tensor:
        """hidden_BLD of rows of tokens as they are, begin and end among them. Errors: BadOption, as `encode_text`."""
        return self._encode_chunks(ids_BL, self._layer(settings))

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditions: Tensors) -> Tensor:
        """The noise, or the velocity, as the U-Net sees it; it knows of no sizes."""
        return self.unet(noisy_BCHW, timesteps_B, encoder_hidden_states=conditions["hidden_BLD"]).sample

    def adaptable(self) -> Adaptable:
        """The layers that networks may adapt."""
        return sd_layers(self.unet, self.text_encoder)

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


def _merged(known: dict[str, configs.Config], more: dict[str, configs.Config]) -> dict[str, configs.Config]:
    return {part: config | more.get(part, {}) for part, config in known.items()}
