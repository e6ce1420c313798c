"""The VAE alone, out of a checkpoint, a VAE file, a diffusers folder or the hub; nothing else is read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import CPU, Checkpoint, open_checkpoint
from sd_scripts.library.io.headers import check_version, model_facts
from sd_scripts.library.models import configs
from sd_scripts.library.models.folders import read_part
from sd_scripts.library.models.layout import VAE_PREFIX
from sd_scripts.library.models.layout.vae import vae_names, vae_to_diffusers, with_new_attention_names
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.weights import build, one_dtype

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True)
class LoadedVae:
    """A VAE, ready to encode.

    `hash` identifies its weights, whichever file they came in; `scale` is what latents are multiplied by before noise
    is added; `dtype` is what the file had: the module is float32.
    """

    module: "AutoencoderKL"
    hash: str
    scale: float
    dtype: torch.dtype


def load_vae(name_or_path: str, v2: bool = False) -> LoadedVae:
    """The VAE of a model, or a VAE by itself: .safetensors, .ckpt, a diffusers folder (or its vae folder) or a hub id.

    Errors: BadFile, when there is no VAE in it; BadOption, when a whole model is of another version than `v2` says.
    """
    path = model_path(name_or_path, only="vae")
    kind = model_facts(path).kind
    if kind in ("sd1", "sd2", "sdxl"):
        check_version(path, kind, v2)
    vae = read_vae(path, "sdxl" if kind == "sdxl" else "sd2" if v2 else "sd1")
    dtype, fingerprint = one_dtype(vae.state_dict()), vae_hash(vae)
    module = vae.float().eval().requires_grad_(False)
    return LoadedVae(module, fingerprint, float(vae.config.scaling_factor), dtype)


def read_vae(
    path: Path, config: str = "sd1", device: torch.device = CPU, mapped: bool = True, variant: str | None = None
) -> "AutoencoderKL":
    """The VAE of a file or folder in its own dtype; `config` names what is known of its family. Errors: BadFile."""
    if path.is_dir():
        return _from_folder(path, device, mapped, variant)
    return vae_from_checkpoint(open_checkpoint(path, device, mapped), config)


def vae_from_checkpoint(file: Checkpoint, config: str = "sd1") -> "AutoencoderKL":
    """The VAE of a checkpoint, or of a file that holds nothing but one. Errors: BadFile."""
    from diffusers import AutoencoderKL

    prefix = next((prefix for prefix in (VAE_PREFIX, "") if f"{prefix}decoder.conv_in.weight" in file.shapes), None)
    if prefix is None:
        raise BadFile(f"{file.path} holds no VAE. Name a whole Stable Diffusion model, or a VAE.")
    known = configs.base_config(config)["vae"]
    tensors = file.read(prefix)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if "encoder.down_blocks.0.resnets.0.conv1.weight" in tensors:
        found = configs.config_from(configs.diffusers_vae_config, shapes, known, file.path)
        return build(AutoencoderKL, found, with_new_attention_names(tensors), file.path)
    found = configs.config_from(configs.vae_config, shapes, known, file.path)
    names = vae_names(len(found["block_out_channels"]), found["layers_per_block"])
    return build(AutoencoderKL, found, vae_to_diffusers(tensors, names), file.path)


def vae_hash(vae: torch.nn.Module) -> str:
    """A hash of a VAE's weights as float16 holds them: a model and its half-size copy make the same latents."""
    return weights_hash({name: tensor.to(torch.float16) for name, tensor in vae.state_dict().items()})


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """A hash of a module's weights: the same for every file and dtype order that holds the same numbers."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return found.hexdigest()


def _from_folder(folder: Path, device: torch.device, mapped: bool, variant: str | None) -> "AutoencoderKL":
    from diffusers import AutoencoderKL

    inner = folder / "vae" if (folder / "vae").is_dir() else folder
    config, tensors = read_part(inner, device, mapped, variant)
    if "latent_channels" not in config:
        raise BadFile(f"{folder} holds no VAE. Name a diffusers folder with a vae folder in it.")
    return build(AutoencoderKL, config, with_new_attention_names(tensors), inner)
