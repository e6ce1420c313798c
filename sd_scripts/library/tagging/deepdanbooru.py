"""DeepDanbooru without TensorFlow: its Keras model is exported to ONNX once, and run by onnxruntime."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library.errors import BadFile, BadOption, NotInstalled
from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.io.reading import parse_json, read_text
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.describer import stacked
from sd_scripts.library.tagging.model_pixels import fitting, read_to_shrink, ready_readers
from sd_scripts.library.tagging.onnx_model import OnnxModel
from sd_scripts.options.tagging import DeepDanbooruOptions

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

# The real one has 0.6 GB.
LARGEST_MODEL_BYTES = 10_000_000_000
# Confidences of a faithful export differ by rounding alone.
EXPORT_TOLERANCE = 1e-3

Run = Callable[["np.ndarray"], "np.ndarray"]


@dataclass(frozen=True)
class Project:
    """A DeepDanbooru model and the tags that it gives, in its order."""

    model: Path
    tags_path: Path
    tags: tuple[str, ...]


def find_project(options: DeepDanbooruOptions) -> Project:
    """The model and tags of a project folder, or those named one by one. Errors: BadOption, BadFile."""
    folder = Path(options.project_path) if options.project_path else None
    if folder is None and not (options.model_path and options.tags_path):
        raise BadOption(
            "project_path", "--project_path is needed: the folder with project.json, tags.txt and the model."
        )
    if folder and not folder.is_dir():
        raise BadOption("project_path", f"--project_path {folder}: there is no such folder.")
    model = _named(options.model_path, "model_path") if options.model_path else _model_of(folder or Path())
    tags_path = _named(options.tags_path, "tags_path") if options.tags_path else (folder or Path()) / "tags.txt"
    return Project(model, tags_path, read_tags(tags_path))


def read_tags(path: Path) -> tuple[str, ...]:
    """One tag a line. Errors: BadFile."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as a list of tags ({error}).") from error
    tags = tuple(line.strip() for line in lines if line.strip())
    if not tags:
        raise BadFile(f"{path} names no tags; it should hold one a line.")
    return tags


class NoOnnxForm(Exception):
    """A model that cannot be exported, or whose export is another model; the text says why."""


class DeepDanbooru:
    """Gives the tags of a picture that reach the threshold, in the order of tags.txt."""

    fixed_batch_size: int | None = None
    threads_read = True

    def __init__(self, project: Project, threshold: float, report: Report) -> None:
        self._tags = project.tags
        self._threshold = threshold
        ready_readers()
        self._run, input_shape, outputs = _open(project, report)
        if outputs != len(project.tags):
            raise BadFile(
                f"{project.model.name} gives {outputs:,} tags, but {project.tags_path} names {len(project.tags):,}: "
                "they are not of the same project."
            )
        self._height_px, self._width_px = input_shape

    def preparer(self, fast_decode: bool = False) -> "Fitted":
        """To the model's size, its aspect kept."""
        return Fitted(self._width_px, self._height_px, fast_decode)

    gather = staticmethod(stacked)

    def describe(self, batch: "np.ndarray", paths: list[Path]) -> list[list[str]]:
        """From (N,H,W,3) RGB, 0 to 1, to N lists of tags."""
        return [[self._tags[place] for place in (row >= self._threshold).nonzero()[0]] for row in self._run(batch)]


@dataclass(frozen=True)
class Fitted:
    """From a picture's path to (height, width, 3) float32 RGB, 0 to 1.

    `fast`: a large JPEG is decoded at a reduced scale, and averages are rounded to bytes (`fitted`).
    """

    width_px: int
    height_px: int
    fast: bool = False

    def __call__(self, path: Path) -> "np.ndarray":
        """Errors: UnreadableImage."""
        image = read_to_shrink(path, partial(fitting, within_px=(self.width_px, self.height_px)), self.fast)
        return fitted(image, self.width_px, self.height_px, self.fast)


def fitted(image: "Image", width_px: int, height_px: int, fast: bool = False) -> "np.ndarray":
    """Scaled by area to fit, centred, edge pixels repeated around it: what DeepDanbooru's own tool does.

    Sides are rounded half to even; an odd difference puts the picture on half pixels, between which is interpolated.
    `fast`: averages are rounded to bytes, which is half of 1/255 at most, and no large picture is held in floats.
    """
    import cv2
    import numpy as np

    scale = min(np.float32(width_px) / np.float32(image.width), np.float32(height_px) / np.float32(image.height))
    size = (max(1, round(float(scale * image.width))), max(1, round(float(scale * image.height))))
    whole = np.asarray(image, dtype=np.uint8 if fast else np.float32)
    pixels = cv2.resize(whole, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    shift = np.array([[1, 0, (width_px - size[0]) / 2], [0, 1, (height_px - size[1]) / 2]], dtype=np.float64)
    target = (width_px, height_px)
    return cv2.warpAffine(pixels, shift, target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) / 255.0


def _named(path: str, option: str) -> Path:
    if not Path(path).is_file():
        raise BadOption(option, f"--{option} {path}: there is no such file.")
    return Path(path)


def _model_of(folder: Path) -> Path:
    description = folder / "project.json"
    try:
        name = parse_json(read_text(description))["model"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(
            f"{folder} is no DeepDanbooru project: {description.name} is missing, broken, or names no model."
        ) from error
    for ending in (".keras", ".h5"):
        if (folder / f"model-{name}{ending}").is_file():
            return folder / f"model-{name}{ending}"
    raise BadFile(f"{folder} has neither model-{name}.keras nor model-{name}.h5, which its project.json names.")


def _open(project: Project, report: Report) -> tuple[Run, tuple[int, int], int]:
    """(function from a batch to confidences, (height, width) in px, number of tags)."""
    cache = _cache_of(project.model)
    if cache.is_file():
        return _opened_onnx(OnnxModel(cache, report))
    report.phase("export", f"Preparing {project.model.name}, once")
    model = _load_keras(project.model)
    try:
        with replacing(cache) as beside:
            _export(model, beside)
        return _opened_onnx(OnnxModel(cache, report))
    except NoOnnxForm as error:
        return _run_by_keras(model, error, report)
    except BadFile:
        return _exported_for_now(model, report)


def _exported_for_now(model: Any, report: Report) -> tuple[Run, tuple[int, int], int]:
    """The folder cannot be written to: the export serves this run alone."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _export(model, Path(folder) / "model.onnx")
            return _opened_onnx(OnnxModel(Path(folder) / "model.onnx", report))
        except (NoOnnxForm, BadFile, OSError) as error:
            return _run_by_keras(model, error, report)


def _run_by_keras(model: Any, why: Exception, report: Report) -> tuple[Run, tuple[int, int], int]:
    report.notice(f"The model is run by Keras, which is slower: {why}", "warning")
    _, height_px, width_px, _ = model.input_shape
    return model.predict_on_batch, (height_px, width_px), model.output_shape[-1]


def _opened_onnx(model: OnnxModel) -> tuple[Run, tuple[int, int], int]:
    _, height_px, width_px, _ = model.input_shape
    outputs = model.output_shape[-1]
    if height_px is None or width_px is None or outputs is None:
        raise BadFile(f"{model.path} is no DeepDanbooru model: its sizes are not fixed.")
    return model.run, (height_px, width_px), outputs


def _cache_of(model: Path) -> Path:
    """The export's place, named by what the model holds: another model of the same name is exported anew."""
    size_bytes = model.stat().st_size
    if size_bytes > LARGEST_MODEL_BYTES:
        raise BadFile(f"{model} has {size_bytes / 1e9:,.0f} GB, which is no DeepDanbooru model. Choose another file.")
    with open(model, "rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
    return model.with_name(f"{model.stem}-{digest}.onnx")


def _load_keras(path: Path) -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    except ImportError as error:
        raise NotInstalled("DeepDanbooru needs the packages keras and h5py. Run ./setup.sh install.") from error
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        shape = model.input_shape
    except Exception as error:  # whatever a broken file makes Keras stumble over
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise BadFile(f"{path} is no Keras model that can be opened ({reason}).") from error
    if len(shape) != 4 or None in shape[1:]:
        raise BadFile(f"{path} is no DeepDanbooru model: its input is no picture of a fixed size.")
    return model


def _export(model: Any, path: Path) -> None:
    """Writes the model's ONNX form, and tries it. Errors: NoOnnxForm."""
    import warnings

    import numpy as np

    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Keras exports only what has been called.
            expected = model.predict_on_batch(images)
            model.export(path, format="onnx", verbose=False)
    except Exception as error:  # whatever layer has no ONNX form
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise NoOnnxForm(f"it has no ONNX form ({reason})") from error
    # An export follows one picture's way through the model; where the way depends on the picture, it is another model.
    if np.abs(OnnxModel(path).run(images) - expected).max() > EXPORT_TOLERANCE:
        raise NoOnnxForm("its ONNX form gives other tags")
