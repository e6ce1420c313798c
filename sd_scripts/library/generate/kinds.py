"""What a trained file is: a model, a network, an embedding or a hypernetwork. Needs no torch."""

from pathlib import Path
from typing import Any, Literal

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.embedding_names import ONE_ENCODER, TWO_ENCODERS, WEB_TABLE
from sd_scripts.library.io.headers import kind_of, pickled_object, safetensors_header

FileKind = Literal["model", "network", "embedding", "hypernetwork"]

# What the names of layers in networks' files begin with.
NETWORKS = ("lora_", "oft_")
_OWN_MODULES = "networks."
_LYCORIS = "lycoris.kohya"
LORA = "networks.lora"


def kind_of_file(file: str, option: str) -> FileKind:
    """What a file (or a diffusers folder, or a hub id) is. Errors: BadOption, naming `option`; BadFile."""
    path = Path(file)
    if not path.is_file():
        return "model"
    if path.suffix.lower() == ".safetensors":
        return _named(dict(safetensors_header(path)[0]), file, option)
    found = pickled_object(path)
    inner = found.get("state_dict", found) if isinstance(found, dict) else {}
    if isinstance(found, dict) and WEB_TABLE in found:
        return "embedding"
    if isinstance(found, dict) and any(isinstance(key, int) for key in found):
        return "hypernetwork"
    return _named(inner if isinstance(inner, dict) else {}, file, option)


def _named(tensors: dict[str, Any], file: str, option: str) -> FileKind:
    shapes = {str(name): tuple(getattr(fact, "shape", ())) for name, fact in tensors.items()}
    kind = kind_of(shapes)
    if kind in ("sd1", "sd2", "sdxl"):
        return "model"
    if kind == "lora" or any(name.startswith(NETWORKS) for name in shapes):
        return "network"
    if any(name.partition(".")[0].isdecimal() for name in shapes):
        return "hypernetwork"
    # diffusers' own files of embeddings hold one matrix under the word itself.
    if any(name in (*ONE_ENCODER, *TWO_ENCODERS) for name in shapes) or (len(shapes) == 1 and kind == "unknown"):
        return "embedding"
    sentence = "is neither a model nor a network, an embedding or a hypernetwork. Choose another file."
    raise BadOption(option, f"--{option}: {file} {sentence}")


def module_of(file: str) -> str:
    """The network module that a network's file is for: what its header says where that is known, else networks.lora."""
    path = Path(file)
    told = safetensors_header(path)[1].get("ss_network_module", "") if path.suffix.lower() == ".safetensors" else ""
    name = told.removeprefix("sd_scripts.")
    # A file may name any module; only known ones are run.
    own = name.startswith(_OWN_MODULES) and (_OWN_FOLDER / f"{name.removeprefix(_OWN_MODULES)}.py").is_file()
    return name if own or name == _LYCORIS else LORA


_OWN_FOLDER = Path(__file__).resolve().parents[2] / "networks"
