"""The WD14 taggers: ONNX models with a table of tags, in the two layouts that are in use."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.images import PictureFile, Reduction, Size, on_white
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io import hub
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.model_pixels import fitting, ready_readers
from sd_scripts.library.tagging.onnx_model import OnnxModel
from sd_scripts.library.tagging.tag_table import read_table
from sd_scripts.library.tagging.tag_text import TagRules
from sd_scripts.options.tagging import Wd14ModelOptions, Wd14TextOptions, Wd14ThresholdOptions

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

# Model and table of each layout.
LAYOUTS = (("model_optimized.onnx", "tag_mapping.json"), ("model.onnx", "selected_tags.csv"))

# The side for models that take any.
SIDE_PX = 448

WHITE = (255, 255, 255)

# A picture padded to a square beyond this is shrunk first: exact padding would cost a 20,000 px strip gigabytes.
MAX_SQUARE_PX = 7000


@dataclass(frozen=True)
class TaggerFiles:
    """A tagger on disk."""

    model: Path
    table: Path


def find_tagger(options: Wd14ModelOptions, report: Report) -> TaggerFiles:
    """The tagger in a local folder, or downloaded once into `<model_dir>/<repository with _ for />/`.

    A repository may be named with a folder in it: owner/model/folder. Errors: BadOption, BadFile.
    """
    local = Path(options.repo_id)
    if local.is_dir():
        return _files_in(local) or _no_tagger(local)
    repository, inner = _parts(options.repo_id)
    folder = Path(options.model_dir) / options.repo_id.replace("/", "_")
    found = _files_in(folder / inner)
    if found and not options.force_download:
        return found
    return _download(repository, inner, folder, options.force_download, report)


class Wd14Tagger:
    """Gives the tags of a picture, by the rules that the options set. `counts` says how often it gave each."""

    threads_read = True

    def __init__(
        self, files: TaggerFiles, thresholds: Wd14ThresholdOptions, text: Wd14TextOptions, report: Report
    ) -> None:
        table = read_table(files.table)
        self._rules = TagRules(table, thresholds, text)
        ready_readers()
        self._model = OnnxModel(files.model, report)
        self._model.check_tags(len(table.names), files.table)
        self.counts: Counter[str] = Counter()
        self.fixed_batch_size = self._model.input_shape[0]
        self._planes_first = self._model.input_shape[1] == 3
        self._side_px = self._model.input_shape[2] or SIDE_PX
        if table.unknown():
            report.notice(f"Tags of unknown categories ({', '.join(table.unknown())}) are never written.", "warning")

    def preparer(self, fast_decode: bool = False) -> "Squared":
        """To the model's square, as bytes."""
        return Squared(self._side_px, fast_decode)

    def gather(self, images: "Sequence[np.ndarray]") -> "np.ndarray":
        """From (H,W,3) BGR bytes each to the floats that the model takes."""
        import numpy as np

        if not self._planes_first:
            return np.stack(images, dtype=np.float32)
        # This layout takes planes in -1..1.
        planes_BCHW = np.stack([image.transpose(2, 0, 1) for image in images], dtype=np.float32)
        planes_BCHW /= np.float32(127.5)
        planes_BCHW -= np.float32(1.0)
        return planes_BCHW

    def describe(self, batch: "np.ndarray", paths: list[Path]) -> list[list[str]]:
        """From what `gather` gave to a list of tags for every path."""
        given = [self._rules.tags(confidences_T) for confidences_T in self.confidences(batch)[: len(paths)]]
        self.counts.update(tag for tags in given for tag in tags)
        return given

    def confidences(self, batch: "np.ndarray") -> "np.ndarray":
        """From what `gather` gave to (N, tags), 0 to 1."""
        found = self._model.run(batch)
        # The layout with planes gives logits.
        return sigmoid(found) if self._planes_first else found

    def say_counts(self, report: Report) -> None:
        """How often each tag was given, the most frequent first, by all processes together."""
        self.counts = sum(report.team.gather(self.counts), Counter())
        report.say("Tags, by how often they were given:")
        for tag, count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0])):
            report.say(f"  {tag}: {count:,}")


@dataclass(frozen=True)
class Squared:
    """From a picture's path to (side, side, 3) BGR bytes.

    It is centred on a white square, which is then shrunk by area or enlarged by Lanczos. `fast`: a large
    JPEG is decoded at a reduced scale.
    """

    side_px: int
    fast: bool = False

    def __call__(self, path: Path) -> "np.ndarray":
        """Errors: UnreadableImage."""
        file = PictureFile(path)
        side_px = self.side_px
        image = file.decoded(fitting(file.size_px, (side_px, side_px)) if self.fast else None, on_white)
        if self.fast and image.size != file.size_px and max(image.size) <= MAX_SQUARE_PX:
            return _from_reduced(image, file.reduction(image), file.size_px, side_px)
        return squared(_tamed(image, side_px), side_px)


def squared(image: "Image", side_px: int) -> "np.ndarray":
    """(side, side, 3) BGR bytes of an RGB picture."""
    import cv2
    import numpy as np
    from PIL import Image as pil

    longest_px = max(image.size)
    pixels = _bordered(image, (longest_px - image.width) // 2, (longest_px - image.height) // 2)
    if longest_px < side_px:
        pixels = np.asarray(pil.fromarray(pixels).resize((side_px, side_px), pil.Resampling.LANCZOS))
    elif longest_px > side_px:
        pixels = cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _bordered(image: "Image", left: int, top: int) -> "np.ndarray":
    """An RGB picture at a place on a white square whose side is its longer one."""
    import cv2
    import numpy as np

    longest_px = max(image.size)
    right, bottom = longest_px - image.width - left, longest_px - image.height - top
    return cv2.copyMakeBorder(np.asarray(image), top, bottom, left, right, cv2.BORDER_CONSTANT, value=WHITE)


def _from_reduced(image: "Image", reduction: Reduction, seen_px: Size, side_px: int) -> "np.ndarray":
    """What `squared` makes of a picture of the size that is seen, from one that was decoded at a reduced scale.

    There its place on the square may begin between two pixels, and the square have no whole number of them.
    """
    import cv2
    import numpy as np

    longest_px, reduced_px = max(seen_px), max(image.size)
    scale = reduced_px * reduction.times / longest_px
    left, top = (
        scale * (((longest_px - side) // 2 - before) / reduction.times + 0.5) - 0.5
        for side, before in zip(seen_px, reduction.before_px, strict=True)
    )
    pixels: np.ndarray
    if scale == 1.0 and left.is_integer() and top.is_integer():
        pixels = _bordered(image, int(left), int(top))
    else:
        place = np.array([[scale, 0.0, left], [0.0, scale, top]])
        pixels = cv2.warpAffine(
            np.asarray(image), place, (reduced_px, reduced_px), flags=cv2.INTER_LINEAR, borderValue=WHITE
        )
    pixels = cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[:, :, ::-1])


def sigmoid(logits: "np.ndarray") -> "np.ndarray":
    """1 / (1 + exp(-x)), without overflow."""
    import numpy as np

    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def _tamed(image: "Image", side_px: int) -> "Image":
    if max(image.size) <= MAX_SQUARE_PX:
        return image
    from PIL import Image as pil

    scale = side_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, pil.Resampling.BOX)


def _files_in(folder: Path) -> TaggerFiles | None:
    for model, table in LAYOUTS:
        if (folder / model).is_file() and (folder / table).is_file():
            return TaggerFiles(folder / model, folder / table)
    return None


def _no_tagger(folder: Path) -> TaggerFiles:
    pairs = " or ".join(" with ".join(pair) for pair in LAYOUTS)
    raise BadFile(f"{folder} holds no tagger, which is {pairs}.")


def _parts(repo_id: str) -> tuple[str, str]:
    parts = repo_id.split("/")
    repository = "/".join(parts[:2])
    if len(parts) < 2 or not hub.is_repository(repository):
        raise BadOption("repo_id", f"--repo_id {repo_id}: no such folder, and no hub id such as owner/model.")
    return repository, "/".join(parts[2:])


def _download(repository: str, inner: str, folder: Path, force: bool, report: Report) -> TaggerFiles:
    prefix = f"{inner}/" if inner else ""
    there = hub.file_names(repository, "repo_id")
    pair = next((pair for pair in LAYOUTS if all(prefix + name in there for name in pair)), None)
    if pair is None:
        raise BadOption("repo_id", f"--repo_id {repository}: the hub has no {' and '.join(LAYOUTS[1])} in it.")
    report.phase("download", f"Downloading {repository} into {folder}")
    # The weights of large models lie in a file beside them; the model itself comes last, so that its presence tells.
    wanted = [pair[1], *(name for name in (f"{pair[0]}.data", f"{pair[0]}_data") if prefix + name in there), pair[0]]
    for name in wanted:
        hub.download(repository, prefix + name, folder, force)
    return TaggerFiles(folder / inner / pair[0], folder / inner / pair[1])
