"""Stable Diffusion XL: loading, encoding with two text encoders, predicting with sizes.

Source: Podell et al., "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis", 2023.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sd_scripts.library.io.checkpoints import CPU
from sd_scripts.library.io.headers import check_prediction
from sd_scripts.library.models import configs
from sd_scripts.library.models.adaptable import Adaptable, sdxl_layers
from sd_scripts.library.models.clip_tokenizer import from_chunks, to_chunks, tokenize, tokenize_weighted
from sd_scripts.library.models.family import Tensors, TextSettings
from sd_scripts.library.models.latent_diffusion import LatentDiffusion
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.prompt_weights import weigh
from sd_scripts.library.models.sources import Parts, Source, open_source
from sd_scripts.library.models.vae import read_vae
from sd_scripts.library.report import Report


def load(
    name_or_path: str,
    v_parameterization: bool = False,
    vae: str | None = None,
    report: Report | None = None,
    device: torch.device = CPU,
    mapped: bool = True,
) -> "StableDiffusionXL":
    """An SDXL model out of a .safetensors or .ckpt file (which needs no hub), a diffusers folder or a hub id.

    Its weights are read straight onto `device`; `mapped`: see open_checkpoint.

    Errors: BadFile, when it is no such model; BadOption, when an option and the model disagree.
    """
    source = open_source(model_path(name_or_path), device, ("sdxl",), mapped)
    own_vae = read_vae(model_path(vae, only="vae"), "sdxl", device, mapped) if vae else source.vae()
    return from_source(source, v_parameterization, own_vae, report)


def from_source(
    source: Source, v_parameterization: bool, vae: Any, report: Report | None = None
) -> "StableDiffusionXL":
    """A model that was found, with a VAE; without one its text encoders alone are read.

    Errors: BadFile; BadOption, when it says that it predicts something else.
    """
    check_prediction(source.path, source.prediction_type, v_parameterization)
    known = configs.base_config("sdxl")
    if v_parameterization:
        known["scheduler"]["prediction_type"] = "v_prediction"
    parts = source.texts(known) if vae is None else source.parts(known)
    return StableDiffusionXL(source, parts, vae, known["scheduler"], report)


class StableDiffusionXL(LatentDiffusion):
    """A loaded model: the Family of models/family.py for SDXL."""

    latents_suffix = "sdxl"
    texts_suffix = "te_outputs"

    def __init__(
        self, source: Source, parts: Parts, vae: Any, scheduler: configs.Config, report: Report | None = None
    ) -> None:
        super().__init__(source, parts, vae, scheduler, report)
        self.text_encoder1, self.text_encoder2 = parts.text_encoders

    @property
    def base_version(self) -> str:
        """The same for all of them."""
        return "sdxl_base_v1-0"

    @property
    def text_encoders(self) -> dict[str, nn.Module]:
        """CLIP's, and the larger one of OpenCLIP."""
        return {"text_encoder1": self.text_encoder1, "text_encoder2": self.text_encoder2}

    def tokenize(self, texts: Sequence[str], settings: TextSettings, weighted: bool = False) -> Tensors:
        """tokens1_BL and tokens2_BL, which differ in their padding. Weighted texts have weights_BL too."""
        tokens: Tensors = {}
        for number, tokenizer in enumerate(self.tokenizers):
            how = tokenizer, texts, settings.max_tokens, self._pad_id(number)
            if weighted:
                tokens[f"tokens{number + 1}_BL"], tokens["weights_BL"] = tokenize_weighted(*how)
            else:
                tokens[f"tokens{number + 1}_BL"] = tokenize(*how)
        return tokens

    def encode_text(self, tokens: Tensors, settings: TextSettings) -> Tensors:
        """hidden1_BLD and hidden2_BLD, each token with its weight, and pooled_BD, the second encoder's of a whole text.

        The last but one layers are read, without a final norm; of a long text its first 75 tokens are pooled.
        """
        hidden1_BLD, _ = self._encode(0, tokens)
        hidden2_BLD, pooled_BD = self._encode(1, tokens)
        return {"hidden1_BLD": hidden1_BLD, "hidden2_BLD": hidden2_BLD, "pooled_BD": pooled_BD}

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditions: Tensors) -> Tensor:
        """The noise, or the velocity, as the U-Net sees it."""
        hidden_BLD = torch.cat([conditions["hidden1_BLD"], conditions["hidden2_BLD"]], dim=2)
        added = {"text_embeds": conditions["pooled_BD"], "time_ids": conditions["sizes_B6"]}
        return self.unet(noisy_BCHW, timesteps_B, encoder_hidden_states=hidden_BLD, added_cond_kwargs=added).sample

    def freeze_unused(self) -> None:
        """The first text encoder's last layer and final norm are skipped."""
        inner = getattr(self.text_encoder1, "text_model", self.text_encoder1)
        inner.encoder.layers[-1].requires_grad_(False)
        inner.final_layer_norm.requires_grad_(False)

    def adaptable(self) -> Adaptable:
        """The layers that networks may adapt."""
        return sdxl_layers(self.unet, self.text_encoders)

    def _encode(self, number: int, tokens: Tensors) -> tuple[Tensor, Tensor]:
        """(hidden_BLD, pooled_BD) of the number-th text encoder; the first has nothing pooled that is used."""
        module = list(self.text_encoders.values())[number]
        eos_id = self.tokenizers[number].eos_token_id
        chunks_BNC = to_chunks(tokens[f"tokens{number + 1}_BL"], eos_id, self._pad_id(number))
        output = module(chunks_BNC.flatten(0, 1), output_hidden_states=True)
        hidden_BLD = from_chunks(output.hidden_states[-2].unflatten(0, chunks_BNC.shape[:2]))
        if "weights_BL" in tokens:
            hidden_BLD = weigh(hidden_BLD, tokens["weights_BL"])
        pooled_MD = output.text_embeds if number else output.pooler_output
        return hidden_BLD, pooled_MD.unflatten(0, chunks_BNC.shape[:2])[:, 0]
