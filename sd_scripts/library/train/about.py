"""What a saved model's header says of it (Stability's model-spec 1.0.1): modelspec.* keys. Needs no torch."""

import base64
import mimetypes
import tomllib
from pathlib import Path

from sd_scripts.library.data.images import UnreadableImage, image_size, open_image
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.reading import read_whole
from sd_scripts.library.models.family import FileFormat
from sd_scripts.library.notice import Notice
from sd_scripts.options.output import LARGEST_THUMBNAIL_BYTES, AboutOptions
from sd_scripts.options.spec import flat_values
from sd_scripts.options.trainer import TrainerOptions

# Options whose text stands in the header as it is, under modelspec.<name without metadata_>.
_AS_GIVEN = (
    "metadata_title", "metadata_author", "metadata_description", "metadata_license", "metadata_tags",
    "metadata_usage_hint", "metadata_merged_from", "metadata_trigger_phrase", "metadata_preprocessor",
    "metadata_is_negative_embedding",
)  # fmt: skip
# A thumbnail is opened to see that it is whole, and larger ones only take time.
_MOST_PIXELS = 10_000_000
_ROOT = Path(__file__).resolve().parents[3]


def check_about(about: AboutOptions) -> None:
    """The thumbnail can be read and is small. Errors: BadOption."""
    if about.metadata_thumbnail:
        data_url(about.metadata_thumbnail)


def model_spec(options: TrainerOptions) -> dict[str, str]:
    """The keys that options give; those that follow from the model itself are added when it is written.

    Errors: BadOption.
    """
    spec = given_spec(options.about)
    if options.text.layer is not None:
        spec["modelspec.encoder_layer"] = str(options.text.layer)
    return {"modelspec.implementation_version": f"sd-trainer/{_version()}", **_timesteps(options), **spec}


def given_spec(about: AboutOptions) -> dict[str, str]:
    """The keys that say what a user says of the model. Errors: BadOption."""
    given = {name: getattr(about, name) for name in _AS_GIVEN}
    spec = {f"modelspec.{name.removeprefix('metadata_')}": value for name, value in given.items() if value}
    if about.metadata_thumbnail:
        spec["modelspec.thumbnail"] = data_url(about.metadata_thumbnail)
    return spec


def unwritten(about: AboutOptions, format: FileFormat) -> list[Notice]:
    """A sentence where something is to be written into a header, and the format has none."""
    given = [name for name, value in flat_values(about).items() if value]
    if not given or format == "safetensors":
        return []
    flags = ", ".join(f"--{name}" for name in given)
    sentence = f"Not written: {flags}. Only .safetensors files have a header; --save_model_as chooses them."
    return [Notice(given[0], sentence)]


def data_url(thumbnail: str) -> str:
    """A picture as a data: URL, which the thumbnail may be already. Errors: BadOption."""
    url = thumbnail if thumbnail.startswith("data:") else _read_as_url(thumbnail)
    if not url.startswith("data:image/"):
        raise _bad_thumbnail(thumbnail, "is no picture. Name a .png, .jpg or .webp file.")
    _check_size(thumbnail, len(url))
    return url


def _read_as_url(path: str) -> str:
    try:
        _check_size(path, Path(path).stat().st_size)
        data = base64.b64encode(read_whole(path, LARGEST_THUMBNAIL_BYTES)).decode()
    except OSError as error:
        raise _bad_thumbnail(path, f"cannot be read: {error.strerror}. Name a picture.") from error
    try:
        width_px, height_px = image_size(path)
        if width_px * height_px > _MOST_PIXELS:
            raise _bad_thumbnail(path, f"has {width_px} x {height_px} px. 256 x 256 are usual.")
        open_image(path)
    except UnreadableImage as error:
        raise _bad_thumbnail(path, f"cannot be used: {error}. Name a .png, .jpg or .webp file.") from error
    return f"data:{mimetypes.guess_type(path)[0]};base64,{data}"


def _check_size(thumbnail: str, size_bytes: int) -> None:
    if size_bytes > LARGEST_THUMBNAIL_BYTES:
        limit = f"Every saved file holds it: make it smaller than {LARGEST_THUMBNAIL_BYTES / 1e6:.0f} MB."
        raise _bad_thumbnail(thumbnail, f"has {size_bytes / 1e6:.1f} MB. {limit}")


def _bad_thumbnail(thumbnail: str, sentence: str) -> BadOption:
    name = thumbnail if len(thumbnail) < 200 else f"{thumbnail[:20]}..."
    return BadOption("metadata_thumbnail", f"--metadata_thumbnail {name} {sentence}")


def _timesteps(options: TrainerOptions) -> dict[str, str]:
    """The range of timesteps, where it was cut."""
    values = flat_values(options)
    low, high = values.get("min_timestep"), values.get("max_timestep")
    if low is None and high is None:
        return {}
    return {"modelspec.timestep_range": f"{low or 0},{1000 if high is None else high}"}


def _version() -> str:
    with open(_ROOT / "pyproject.toml", "rb") as stream:
        return str(tomllib.load(stream)["project"]["version"])
