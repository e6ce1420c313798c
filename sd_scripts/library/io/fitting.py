"""Whether what was trained beside a model fits it: by the headers of both, before either is loaded. Needs no torch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.embedding_names import ONE_ENCODER, TWO_ENCODERS, WEB_TABLE
from sd_scripts.library.io.headers import (
    PICKLED,
    TensorFact,
    kind_of,
    pickled_header,
    pickled_object,
    safetensors_header,
)

_KEYS_OF_TEXTS = ("attn2.to_k.weight", "attn2_to_k.lora_down.weight", "attn2_to_k.lora_A.weight")
DOWN, UP = ".lora_down.weight", ".lora_up.weight"
_WHOLE = {"sd1": "a whole model", "sd2": "a whole model", "sdxl": "a whole model", "vae": "a VAE"}


def check_network_file(path: str | Path, base: str | None) -> None:
    """A network's file is whole, holds a network, and is for such a model. `base` may be a hub id, which tells nothing.

    Errors: BadFile.
    """
    facts = tensor_facts(Path(path))
    if not facts:
        raise BadFile(f"{path} holds no tensors, so it is no model and no network. Choose another file.")
    kind = kind_of({name: fact.shape for name, fact in facts.items()})
    if kind in _WHOLE:
        raise BadFile(f"{path} is {_WHOLE[kind]}, not a network. Choose another file.")
    check_pairs(path, {name: fact.shape for name, fact in facts.items()})
    _check_width(path, text_width(facts), base)


def check_pairs(path: str | Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The two matrices of each LoRA fit each other, and its alpha is a number. Errors: BadFile."""
    for name in (name for name in shapes if name.endswith(DOWN)):
        key = name.removesuffix(DOWN)
        down, up, alpha = shapes[name], shapes.get(key + UP, ()), shapes.get(f"{key}.alpha", ())
        fits = len(up) > 1 and len(down) > 1 and up[1] == down[0] > 0 and all(size == 1 for size in up[2:])
        if not fits or math.prod(alpha) != 1:
            raise BadFile(f"{path} is incomplete: the matrices of {key} do not fit each other. Copy it again.")


def check_embedding_file(path: str | Path, base: str | None) -> None:
    """An embedding's file is whole, holds vectors, and is for such a model. Errors: BadFile."""
    path = Path(path)
    vectors = _vectors(path)
    if not vectors or any(not 1 <= len(fact.shape) <= 2 for fact in vectors.values()):
        raise BadFile(
            f"{path} is no embedding: it holds neither the vectors of one word nor those of SDXL's two text encoders. "
            "Choose another file."
        )
    _check_width(path, sum(fact.shape[-1] for fact in vectors.values()), base)


def check_hypernetwork_file(path: str | Path) -> None:
    """A hypernetwork's file is whole, and has modules for some width. Errors: BadFile."""
    path = Path(path)
    found = pickled_object(path) if path.suffix.lower() in PICKLED else safetensors_header(path)[0]
    keys = list(found) if isinstance(found, dict) else []
    widths = [key for key in keys if isinstance(key, int) or str(key).partition(".")[0].isdecimal()]
    if not widths:
        raise BadFile(f"{path} is no hypernetwork: it has modules for no width such as 768. Choose another file.")


def tensor_facts(path: Path) -> dict[str, TensorFact]:
    """{name: fact} of a .safetensors file or a pickle. Errors: BadFile."""
    return pickled_header(path) if path.suffix.lower() in PICKLED else safetensors_header(path)[0]


def text_width(facts: Mapping[str, TensorFact]) -> int | None:
    """How many numbers a text's position has, as a U-Net or what changes it reads them; None where nothing tells."""
    shapes = (fact.shape for name, fact in facts.items() if name.endswith(_KEYS_OF_TEXTS))
    return next((shape[1] for shape in shapes if len(shape) >= 2), None)


def _check_width(path: str | Path, width: int | None, base: str | None) -> None:
    expected = _width_of(Path(base).expanduser()) if base else None
    if width and expected and width != expected:
        raise BadFile(
            f"{path} is for another kind of model: it reads texts of {width:,} numbers a token, and those of {base} "
            f"have {expected:,}. Choose another."
        )


def _width_of(base: Path) -> int | None:
    """The text width of a model; None for what does not tell, such as a hub id. Its own faults are told elsewhere."""
    files = sorted((base / "unet").glob("*.safetensors")) if base.is_dir() else [base]
    try:
        return text_width(tensor_facts(files[0])) if files and files[0].is_file() else None
    except BadFile:
        return None


def _vectors(path: Path) -> dict[str, TensorFact]:
    found: Any = pickled_object(path) if path.suffix.lower() in PICKLED else safetensors_header(path)[0]
    found = found.get(WEB_TABLE, found) if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        # What was written from within torch is no plain dictionary: it is read when the model is.
        return {ONE_ENCODER[0]: TensorFact("?", (0,))}
    tensors = {str(name): fact for name, fact in found.items() if isinstance(fact, TensorFact)}
    if set(TWO_ENCODERS) <= tensors.keys():
        return {name: tensors[name] for name in TWO_ENCODERS}
    return tensors if len(tensors) == 1 else {}
