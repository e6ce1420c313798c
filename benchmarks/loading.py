"""One way to load a model, in a process of its own: `python -m benchmarks.loading WAY MODEL DEVICE`.

Prints JSON: seconds until every page was used, bytes of the tensors, and the most memory beyond what the packages take.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from sd_scripts.library.deferred import defer_unused

# As programs do, before anything is read in.
defer_unused()

import torch  # noqa: E402
from accelerate import init_empty_weights  # noqa: E402
from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel  # noqa: E402

from sd_scripts.library.io.headers import kind_of, model_facts, safetensors_header  # noqa: E402
from sd_scripts.library.models import sd, sdxl  # noqa: E402
from sd_scripts.library.models.clip_tokenizer import clip_tokenizer  # noqa: E402
from sd_scripts.library.models.layout import UNET_PREFIX, VAE_PREFIX  # noqa: E402
from sd_scripts.library.models.layout.text import WRAPPER  # noqa: E402
from sd_scripts.library.models.layout.unet import names_of  # noqa: E402
from sd_scripts.library.models.layout.vae import vae_names  # noqa: E402
from sd_scripts.library.models.sources import open_source  # noqa: E402
from sd_scripts.library.models.vae import load_vae  # noqa: E402

Modules = list[nn.Module]
PAGE_BYTES = 4096


def main() -> None:
    """Measures one way."""
    way, model, device = sys.argv[1], Path(sys.argv[2]), torch.device(sys.argv[3])
    load = WAYS[way](model, device)
    # A vocabulary of 49,408 words takes the same memory beside a model of any size: it is there already.
    tokenizers = [clip_tokenizer("!") for _ in range(2)]
    del tokenizers
    before = _held(device)
    began_s = time.perf_counter()
    modules = load()
    for module in modules:
        _use(module)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began_s
    held = sum(p.nbytes for module in modules for p in module.parameters())
    print(json.dumps({"seconds": seconds, "bytes": held, "peak_bytes": _peak(device) - before}))


def whole(model: Path, device: torch.device) -> Callable[[], Modules]:
    """As trainers load it."""
    family: Any = sdxl if model_facts(model).kind == "sdxl" else sd

    def load() -> Modules:
        found = family.load(str(model), device=device)
        return [found.unet, found.vae, *found.text_encoders.values()]

    return load


def as_float32(model: Path, device: torch.device) -> Callable[[], Modules]:
    """As trainers load it and hold it: in float32, whatever the file has."""
    load = whole(model, device)

    def wide() -> Modules:
        return [nn.Module.to(module, torch.float32) for module in load()]

    return wide


def as_bfloat16(model: Path, device: torch.device) -> Callable[[], Modules]:
    """As with full_bf16."""
    load = whole(model, device)

    def narrow() -> Modules:
        return [nn.Module.to(module, torch.bfloat16) for module in load()]

    return narrow


def only_vae(model: Path, device: torch.device) -> Callable[[], Modules]:
    """As the preparing stage loads it."""
    return lambda: [load_vae(str(model)).module]


def only_texts(model: Path, device: torch.device) -> Callable[[], Modules]:
    """As the stage that encodes captions loads it."""
    kinds = ("sd1", "sd2", "sdxl")

    def load() -> Modules:
        source = open_source(model, device, kinds)
        build: Any = sdxl.from_source if source.variant.name == "sdxl" else sd.from_source
        return list(build(source, False, None).text_encoders.values())

    return load


def bare(model: Path, device: torch.device) -> Callable[[], Modules]:
    """Modules without memory take the file's tensors as they are; names and configurations are known before."""
    assert kind_of({name: fact.shape for name, fact in safetensors_header(model)[0].items()}) == "sd1"
    family = sd.load(str(model))
    unet, vae, text = family.unet.config, family.vae.config, family.text_encoder.config.to_dict()
    unets, vaes = names_of(unet), vae_names(len(vae.block_out_channels), vae.layers_per_block)
    prefix = family.variant.texts[0].prefix + WRAPPER
    names = [
        {name: f"{UNET_PREFIX}{unets.to_original(name)}" for name in family.unet.state_dict()},
        {name: f"{VAE_PREFIX}{vaes.to_original(name)}" for name in family.vae.state_dict()},
        {name: prefix + name for name in family.text_encoder.state_dict()},
    ]
    del family

    def load() -> Modules:
        with init_empty_weights():
            unet_model = UNet2DConditionModel.from_config(unet)
            modules = [unet_model, AutoencoderKL.from_config(vae), CLIPTextModel(CLIPTextConfig(**text))]
        clip_tokenizer("!")
        tensors = load_file(model, str(device))
        for module, known in zip(modules, names, strict=True):
            shapes = module.state_dict()
            own = {name: tensors[known[name]].reshape(shape.shape) for name, shape in shapes.items()}
            module.load_state_dict(own, assign=True)
        return modules

    return load


WAYS: dict[str, Callable[[Path, torch.device], Callable[[], Modules]]] = {
    "whole": whole,
    "float32": as_float32,
    "bfloat16": as_bfloat16,
    "vae": only_vae,
    "texts": only_texts,
    "bare": bare,
}


def _use(module: nn.Module) -> None:
    """Reads something of each page."""
    for flat in (parameter.detach().reshape(-1) for parameter in module.parameters()):
        flat[:: PAGE_BYTES // flat.element_size()].sum()


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    return int(psutil.Process().memory_info().rss)


def _peak(device: torch.device) -> int:
    """The most memory until now: of the GPU, or of the process, where Linux tells it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return max((int(line.split()[1]) * 1024 for line in _status() if line.startswith("VmHWM")), default=_held(device))


def _status() -> Iterator[str]:
    status = Path("/proc/self/status")
    yield from status.read_text(encoding="utf-8").splitlines() if status.exists() else []


if __name__ == "__main__":
    main()
