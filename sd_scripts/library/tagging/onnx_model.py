"""ONNX models: opened on the best device there is, which is told as it is and not as it was hoped for."""

from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.read_ahead import usable_cores
from sd_scripts.library.errors import BadFile, NotInstalled
from sd_scripts.library.report import Report

if TYPE_CHECKING:
    import numpy as np
    from onnxruntime import InferenceSession, SessionOptions

# By preference; a provider is one device's way to run a model.
PROVIDERS = {
    "CUDAExecutionProvider": "GPU (CUDA)",
    "ROCMExecutionProvider": "GPU (ROCm)",
    "MIGraphXExecutionProvider": "GPU (MIGraphX)",
    "DmlExecutionProvider": "GPU (DirectML)",
    "CPUExecutionProvider": "CPU",
}


class OnnxModel:
    """A model of one input of pictures and one output of tags. Shapes have None where any size does."""

    def __init__(self, path: Path, report: Report | None = None) -> None:
        self._session = _open(path)
        self._input = self._session.get_inputs()[0].name
        self.path = path
        self.input_shape = _shape(self._session.get_inputs()[0].shape)
        self.output_shape = _shape(self._session.get_outputs()[0].shape)
        if len(self.input_shape) != 4:
            raise BadFile(f"{path} is no tagger: its input is no batch of pictures.")
        if report:
            report.say(f"{path.name} runs on the {device_of(self._session.get_providers())}.")

    def run(self, images: "np.ndarray") -> "np.ndarray":
        """The output (N, tags) for a batch (N, ...)."""
        return self._session.run(None, {self._input: images})[0]

    def check_tags(self, known: int, table: Path) -> None:
        """Raises BadFile when the model gives another number of tags than its table names."""
        if self.output_shape[-1] not in (None, known):
            raise BadFile(
                f"{self.path.name} gives {self.output_shape[-1]:,} tags, but {table} names {known:,}: "
                "they are not of the same tagger. Get both from one place."
            )


def device_of(providers: list[str]) -> str:
    """What the first provider of an open session runs on, in words."""
    return PROVIDERS.get(providers[0], providers[0]) if providers else "CPU"


def _open(path: Path) -> "InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise NotInstalled("Tagging needs the package onnxruntime. Run ./setup.sh install.") from error
    onnxruntime.set_default_logger_severity(3)
    available = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" in available:
        onnxruntime.preload_dlls()
    if not path.is_file():
        raise BadFile(f"{path}: there is no such file.")
    try:
        providers = [name for name in PROVIDERS if name in available]
        return onnxruntime.InferenceSession(path, _session_options(), providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        reason = str(error).splitlines()[0]
        raise BadFile(f"{path} is no ONNX model that can be run ({reason}). Download it again.") from error


def _session_options() -> "SessionOptions":
    """Threads that sleep while they wait: else they burn the time of the threads that read pictures beside them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _shape(dimensions: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) and size > 0 else None for size in dimensions)
