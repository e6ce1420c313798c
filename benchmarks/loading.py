"""One way to load a model, in a process of its own: `python -m benchmarks.loading WAY MODEL DEVICE`.

Prints JSON: seconds until every page was used, by the clock and of the processor; bytes of the tensors; the most memory
beyond what the packages take.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from sd_scripts.library.deferred import defer_unused
from sd_scripts.library.program import FULL_LOOKS_EVERY

# As programs do, before anything is read in.
defer_unused()
gc.set_threshold(*gc.get_threshold()[:2], FULL_LOOKS_EVERY)

import torch  # noqa: E402
from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: E402, F401
from safetensors.torch import load_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from transformers import CLIPTextModelWithProjection, PreTrainedModel  # noqa: E402, F401

from sd_scripts.library.io.headers import Shapes, kind_of, model_facts, safetensors_header  # noqa: E402
from sd_scripts.library.models import sd, sdxl  # noqa: E402
from sd_scripts.library.models.clip_tokenizer import clip_tokenizer  # noqa: E402
from sd_scripts.library.models.layout import UNET_PREFIX, VAE_PREFIX  # noqa: E402
from sd_scripts.library.models.layout.text import WRAPPER, clip_names  # noqa: E402
from sd_scripts.library.models.layout.unet import names_of  # noqa: E402
from sd_scripts.library.models.layout.vae import vae_names  # noqa: E402
from sd_scripts.library.models.sources import VARIANTS, open_source  # noqa: E402
from sd_scripts.library.models.vae import load_vae  # noqa: E402
from sd_scripts.library.ram import peak_ram_bytes  # noqa: E402

Modules = list[nn.Module]
PAGE_BYTES = 4096
PROJECTION, POSITION = "text_projection", "embeddings.position_embedding.weight"


def main() -> None:
    """Measures one way."""
    way, model, device = sys.argv[1], Path(sys.argv[2]), torch.device(sys.argv[3])
    load = WAYS[way](model, device)
    # A vocabulary of 49,408 words takes the same beside a model of any size: it is there already.
    clip_tokenizer("!")
    before = _held(device)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    modules = load()
    for module in modules:
        _use(module)
    if device.type == "cuda":
        torch.cuda.synchronize()
    cpu_s, seconds = time.process_time() - began_cpu_s, time.perf_counter() - began_s
    held = sum(p.nbytes for module in modules for p in module.parameters())
    found = {"seconds": seconds, "cpu_s": cpu_s, "bytes": held, "peak_bytes": _peak(device) - before}
    print(json.dumps(found))


def whole(model: Path, device: torch.device) -> Callable[[], Modules]:
    """As trainers load it."""
    family: Any = sdxl if model_facts(model).kind == "sdxl" else sd

    def load() -> Modules:
        found = family.load(str(model), device=device)
        return [found.unet, found.vae, *found.text_encoders.values()]

    return load


def again(model: Path, device: torch.device) -> Callable[[], Modules]:
    """The same, when what the first loading brings in is there; so it is for the bare way."""
    load = whole(model, device)
    load()
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
    """The file's tensors become the parameters of modules that nothing filled; all that is to know is known before."""
    made = whole(model, device)()
    shapes = {name: fact.shape for name, fact in safetensors_header(model)[0].items()}
    kinds = [(type(module), module.config) for module in made]
    places = [_places(module, prefix, shapes) for module, prefix in zip(made, _prefixes(shapes), strict=True)]
    del made
    # In this process alone, and for good. Memory that nobody touches costs nothing.
    for layer in (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm, nn.Embedding):
        layer.reset_parameters = lambda self: None
    PreTrainedModel.init_weights = lambda self: None

    def load() -> Modules:
        modules = [
            kind(config) if issubclass(kind, PreTrainedModel) else kind.from_config(config) for kind, config in kinds
        ]
        tensors = load_file(model, str(device))
        for module, known in zip(modules, places, strict=True):
            module.load_state_dict({name: place.of(tensors) for name, place in known.items()}, assign=True)
            module.eval()
        return modules

    return load


class Place(NamedTuple):
    """Where a parameter lies in a file: a third of a tensor, where q, k and v lie in one."""

    name: str
    shape: tuple[int, ...]
    third: int | None = None
    turned: bool = False

    def of(self, tensors: dict[str, Tensor]) -> Tensor:
        """The parameter."""
        tensor = tensors[self.name]
        if self.third is not None:
            tensor = tensor.chunk(3)[self.third]
        return tensor.T.contiguous() if self.turned else tensor.reshape(self.shape)


def _prefixes(shapes: Shapes) -> list[str]:
    return [UNET_PREFIX, VAE_PREFIX, *(text.prefix for text in VARIANTS[kind_of(shapes)].texts)]


def _places(module: nn.Module, prefix: str, shapes: Shapes) -> dict[str, Place]:
    """{parameter: where it lies} of a module whose tensors begin with a prefix."""
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if prefix == UNET_PREFIX:
        names = names_of(module.config)
    elif prefix == VAE_PREFIX:
        names = vae_names(len(module.config.block_out_channels), module.config.layers_per_block)
    else:
        return _text_places(own, prefix, [name.removeprefix(prefix) for name in shapes if name.startswith(prefix)])
    return {name: Place(f"{prefix}{names.to_original(name)}", shape) for name, shape in own.items()}


def _text_places(own: Shapes, prefix: str, originals: list[str]) -> dict[str, Place]:
    wrapper = WRAPPER if any(name.startswith(WRAPPER) for name in own) else ""
    places = {}
    for original in originals:
        layers = sum(".q_proj.weight" in name for name in own)
        found = [POSITION] if original == "positional_embedding" else clip_names(original, layers)
        names = [wrapper + name for name in found]
        for third, name in enumerate(names):
            if name in own:
                places[name] = Place(prefix + original, own[name], third if len(names) == 3 else None)
    if PROJECTION in originals:
        name = f"{PROJECTION}.weight"
        places[name] = Place(prefix + PROJECTION, own[name], turned=True)
    return places


WAYS: dict[str, Callable[[Path, torch.device], Callable[[], Modules]]] = {
    "whole": whole,
    "again": again,
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
    """The most memory until now: of the GPU, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return peak_ram_bytes()


if __name__ == "__main__":
    main()
