"""What the files that the tools for networks write say of themselves: ss_* keys, and Stability's model-spec."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from sd_scripts.library.models.family import PredictionType
from sd_scripts.library.models.sources import VARIANTS
from sd_scripts.library.models.variant import Variant
from sd_scripts.library.networks.stored import Base

_VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
_PREDICTED = {"v_prediction": "v", "epsilon": "epsilon"}
Header = dict[str, str]


def base_version(kind: str, v_prediction: bool) -> str:
    """What files call the model that a network is for (ss_base_model_version)."""
    return _VERSIONS[kind] + ("_v" if v_prediction and kind != "sdxl" else "")


def version_told(headers: Iterable[Mapping[str, str]], base: Base, v2: bool) -> str:
    """The model that networks say they are for; where none says it, by their names and --v2."""
    told = next((header["ss_base_model_version"] for header in headers if "ss_base_model_version" in header), None)
    return told or base_version("sdxl" if base == "sdxl" else ("sd2" if v2 else "sd1"), False)


def network_header(version: str, ranks: Iterable[int], alphas: Iterable[float], network_args: str = "") -> Header:
    """What programs need of a header to use a network; with several ranks, or alphas, it says "Dynamic"."""
    found = {
        "ss_v2": str(version.startswith("sd_v2")),
        "ss_base_model_version": version,
        "ss_network_module": "networks.lora",
        "ss_network_dim": common(ranks),
        "ss_network_alpha": common(alphas),
    }
    return found | ({"ss_network_args": network_args} if network_args else {})


def network_spec(path: Path, version: str, merged_from: Sequence[str] = ()) -> Header:
    """The model-spec of a network's file."""
    kind = next((kind for kind, name in _VERSIONS.items() if version.startswith(name)), "sdxl")
    predicted: PredictionType = "v_prediction" if version.endswith("_v") else "epsilon"
    spec = model_spec(path, VARIANTS[kind], predicted, merged_from)
    spec["modelspec.architecture"] += "/lora"
    return spec | {"modelspec.implementation": "diffusers"}


def model_spec(path: Path, variant: Variant, predicted: PredictionType, merged_from: Sequence[str]) -> Header:
    """The model-spec of a whole model's file."""
    side_px = variant.resolution_px[predicted]
    merged = {"modelspec.merged_from": ", ".join(Path(name).stem for name in merged_from)} if merged_from else {}
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": variant.architectures[predicted],
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": path.stem,
        "modelspec.date": datetime.now().isoformat(timespec="seconds"),
        "modelspec.resolution": f"{side_px}x{side_px}",
        "modelspec.prediction_type": _PREDICTED[predicted],
        **merged,
    }


def common(numbers: Iterable[float]) -> str:
    """The number that all have; "Dynamic", as sd-scripts says, where there are several."""
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else "Dynamic"
