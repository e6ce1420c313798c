"""What a model file is, from its header alone: quick for files of any size. Needs no torch, so the page may ask."""

import math
import pickle
import re
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.pickles import SafeUnpickler, check_archive, no_checkpoint
from sd_scripts.library.io.reading import parse_json, read_text

ModelKind = Literal["sd1", "sd2", "sdxl", "lora", "vae", "unknown"]
Prediction = Literal["epsilon", "v_prediction"]
Shapes = Mapping[str, tuple[int, ...]]

_TITLES = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL", "lora": "LoRA", "vae": "VAE", "unknown": "unknown model"}
_MARKS: list[tuple[ModelKind, str]] = [
    ("sdxl", "conditioner.embedders."),
    ("sd1", "cond_stage_model.transformer."),
    ("sd2", "cond_stage_model.model."),
]
_TEXT_LAYER = re.compile(r"cond_stage_model\..*\.(?:layers|resblocks)\.(\d+)\.")
_UNET = "model.diffusion_model.input_blocks.0.0.weight"
_VAE = ("first_stage_model.decoder.conv_in.weight", "decoder.conv_in.weight")
_LORA = (
    ".lora_down.weight",
    ".lora_up.weight",
    ".lora_A.weight",
    ".lora_B.weight",
    ".hada_w1_a",
    ".lokr_w1",
    ".lokr_w1_a",
)
_DTYPES = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
_STORAGES = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16"}
_PREDICTIONS: dict[str, Prediction] = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
PICKLED = {".ckpt", ".pt", ".pth", ".bin"}
_LONGEST_HEADER_BYTES = 100_000_000
# What no tensor has: the product of longer shapes would take minutes.
_MOST_AXES, _LONGEST_AXIS = 64, 2**63


class TensorFact(NamedTuple):
    """A tensor's number format, as .safetensors names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model without loading it. What nothing tells is None; `text_layers`: of its text encoder."""

    path: Path
    kind: ModelKind
    format: Literal["safetensors", "ckpt", "diffusers"]
    prediction_type: Prediction | None
    dtype: str | None
    size_bytes: int
    text_layers: int | None = None

    def describe(self) -> str:
        """Such as "SD1, fp16, 2.1 GB"."""
        size = self.size_bytes
        amount = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
        velocity = "v-prediction" if self.prediction_type == "v_prediction" else None
        return ", ".join(filter(None, [_TITLES[self.kind], velocity, self.dtype, amount]))


def model_facts(path: str | Path) -> ModelFacts:
    """The facts of a .safetensors or .ckpt file, or of a diffusers folder. Errors: BadFile, when it cannot be read."""
    path = Path(path)
    if path.is_dir():
        return _folder_facts(path)
    if not path.is_file():
        raise BadFile(f"{path}: there is no such file or folder.")
    pickled = path.suffix.lower() != ".safetensors"
    tensors, metadata = (pickled_header(path), {}) if pickled else safetensors_header(path)
    return ModelFacts(
        path=path,
        kind=kind_of({name: fact.shape for name, fact in tensors.items()}),
        format="ckpt" if pickled else "safetensors",
        prediction_type=prediction_of(metadata),
        dtype=_main_dtype(tensors),
        size_bytes=path.stat().st_size,
        text_layers=text_layers_of(tensors),
    )


def kind_of(shapes: Shapes) -> ModelKind:
    """What kind of model has tensors with these names."""
    if _UNET in shapes:
        return next((kind for kind, mark in _MARKS if any(name.startswith(mark) for name in shapes)), "unknown")
    if any(name.endswith(_LORA) for name in shapes):
        return "lora"
    return "vae" if any(name in shapes for name in _VAE) else "unknown"


def check_version(path: Path, kind: str, v2: bool) -> None:
    """Raises BadOption where a model, sd1, sd2 or sdxl, is of another version than `v2` says."""
    if (kind == "sd2") != v2:
        advice = "leave out --v2" if v2 else "add --v2"
        name = "an SDXL" if kind == "sdxl" else f"a Stable Diffusion {kind[-1]}"
        raise BadOption("v2", f"{path} is {name} model: {advice}.")


def check_prediction(path: Path, told: str | None, v_parameterization: bool) -> None:
    """Raises BadOption where a model says that it predicts something else than `v_parameterization` does."""
    if told and (told == "v_prediction") != v_parameterization:
        what, advice = ("noise", "leave out") if v_parameterization else ("velocity", "add")
        raise BadOption("v_parameterization", f"{path} says that it predicts {what}: {advice} --v_parameterization.")


def check_layers(clip_skip: int | None, layers: int | None) -> None:
    """Raises BadOption where more layers of the text encoder are to be skipped than it has."""
    if clip_skip and layers and clip_skip > layers:
        sentence = f"--clip_skip {clip_skip}: the text encoder has {layers} layers. Use 1 to {layers}."
        raise BadOption("clip_skip", sentence)


def text_layers_of(names: Iterable[str]) -> int | None:
    """How many layers the text encoder among these tensors has; None where there is none."""
    numbers = [int(match[1]) for match in map(_TEXT_LAYER.match, names) if match]
    return max(numbers, default=-1) + 1 or None


def prediction_of(metadata: Mapping[str, str]) -> Prediction | None:
    """What a file's modelspec metadata says that the model predicts."""
    told = metadata.get("modelspec.prediction_type") or metadata.get("modelspec.predict_key") or ""
    return _PREDICTIONS.get(told)


def in_utf8(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata that a header can hold: of the name of a file that is no UTF-8, what UTF-8 lacks becomes an escape."""
    return {_in_utf8(key): _in_utf8(text) for key, text in metadata.items()}


def _in_utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def safetensors_header(path: Path) -> tuple[dict[str, TensorFact], dict[str, str]]:
    """({name: fact}, metadata) of a .safetensors file. Errors: BadFile."""
    _check_ordinary(path)
    broken = f"{path} is no .safetensors file, or it is incomplete. Download or copy it again."
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_LONGEST_HEADER_BYTES, path.stat().st_size - 8):
                raise BadFile(broken)
            header = parse_json(file.read(length))
        metadata = _texts(header.pop("__metadata__", None))
        tensors = {name: _fact(entry["dtype"], entry["shape"]) for name, entry in header.items()}
        end = max((8 + length + entry["data_offsets"][1] for entry in header.values()), default=8 + length)
    except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
        raise BadFile(broken) from error
    if path.stat().st_size < end:
        raise BadFile(broken)
    return tensors, metadata


def _fact(dtype: Any, shape: Any) -> TensorFact:
    """Errors: ValueError, TypeError: a file says what is no number format, or no shape."""
    sizes = tuple(shape)
    whole = len(sizes) <= _MOST_AXES and all(type(size) is int and 0 <= size < _LONGEST_AXIS for size in sizes)
    if not (isinstance(dtype, str) and whole):
        raise ValueError("no tensor has such a number format, or such a shape")
    return TensorFact(dtype, sizes)


def _texts(metadata: Any) -> dict[str, str]:
    """Errors: ValueError: the metadata are something else than texts by key."""
    if metadata is None:
        return {}
    if not (isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())):
        raise ValueError("the metadata are no texts")
    return metadata


def pickled_header(path: Path) -> dict[str, TensorFact]:
    """{name: fact} of a .ckpt, whose pickle is read without running anything. Errors: BadFile."""
    loaded = pickled_object(path)
    inner = loaded.get("state_dict") if isinstance(loaded, dict) else {}
    found = inner if isinstance(inner, dict) else loaded
    if not isinstance(found, dict):
        raise no_checkpoint(path)
    return {str(name): value for name, value in found.items() if isinstance(value, TensorFact)}


def pickled_object(path: Path) -> Any:
    """What a pickle holds, its tensors as facts; nothing of it is run. Errors: BadFile."""
    _check_ordinary(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_archive(archive)
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(name) as file:
                    return _Facts(file).load()
        with open(path, "rb") as file:
            return _legacy(file)
    except Exception as error:  # A broken pickle can fail in any way at all.
        raise no_checkpoint(path) from error


def _check_ordinary(path: Path) -> None:
    """Of a pipe one would wait for a writer for ever, and a device may have no end."""
    if not path.is_file():
        raise BadFile(f"{path}: there is no such file, or it is a device or a pipe. Name an ordinary file.")


class _Facts(SafeUnpickler):
    """Tensors become facts; nothing is read of what they hold."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> str:
        # ("storage", its type, key, device, length)
        return pid[1] if isinstance(pid[1], str) else "?"


def _rebuild(dtype: Any, _offset: Any, shape: Any, *_rest: Any) -> TensorFact:
    return _fact(dtype, shape)


def _parameter(data: TensorFact, *_rest: Any) -> TensorFact:
    return data


_Facts.allowed = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


def _legacy(file: BinaryIO) -> Any:
    """torch's format of before 1.6: magic number, version, system, then the object, one pickle each."""
    if _Facts(file).load() != 0x1950A86A20F9469CFC6C:
        raise pickle.UnpicklingError("another magic number")
    for _ in range(2):
        _Facts(file).load()
    return _Facts(file).load()


def _folder_facts(folder: Path) -> ModelFacts:
    index = _json(folder / "model_index.json")
    weights = [file for file in folder.glob("*/*") if file.suffix in {".safetensors", ".bin"} and file.is_file()]
    unet = [file for file in weights if file.parent.name == "unet"]
    tensors: dict[str, TensorFact] = {}
    for file in unet[:1]:
        tensors = safetensors_header(file)[0] if file.suffix == ".safetensors" else pickled_header(file)
    config, scheduler = _json(folder / "unet/config.json"), _json(folder / "scheduler/scheduler_config.json")
    ways_in = [fact.shape for name, fact in tensors.items() if name.endswith(".proj_in.weight")]
    # The weights decide, as they do when the model is loaded; older folders' configurations do not tell.
    linear = any(len(shape) == 2 for shape in ways_in) if ways_in else config.get("use_linear_projection")
    kind: ModelKind = "sd2" if linear else "sd1"
    if "XL" in _text(index, "_class_name") or (folder / "text_encoder_2").is_dir():
        kind = "sdxl"
    layers = _json(folder / "text_encoder/config.json").get("num_hidden_layers")
    return ModelFacts(
        path=folder,
        kind=kind if config else "unknown",
        format="diffusers",
        prediction_type=_PREDICTIONS.get(_text(scheduler, "prediction_type")),
        dtype=_main_dtype(tensors),
        size_bytes=sum(file.stat().st_size for file in weights),
        text_layers=layers if isinstance(layers, int) else None,
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        found = parse_json(read_text(file))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadFile(f"{file} cannot be read as JSON ({error}). Download or copy the model again.") from error
    return found if isinstance(found, dict) else {}


def _text(found: Mapping[str, Any], key: str) -> str:
    text = found.get(key)
    return text if isinstance(text, str) else ""


def _main_dtype(tensors: Mapping[str, TensorFact]) -> str | None:
    sizes: Counter[str] = Counter()
    for fact in tensors.values():
        if fact.dtype in _DTYPES:
            sizes[_DTYPES[fact.dtype]] += math.prod(fact.shape)
    return max(sizes, key=sizes.__getitem__) if sizes else None
