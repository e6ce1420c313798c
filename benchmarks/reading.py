"""Reads much data as the trainers and the page do; for benchmarks/scale.py, which measures the process.

`python benchmarks/reading.py METADATA read|train|check|album FOLDER`
"""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sd_scripts.library.data.picture_data import PictureData

sys.path[0] = str(Path(__file__).resolve().parents[1])

FLAGS = ["--pretrained_model_name_or_path=model.safetensors", "--output_dir=out", "--resolution=64", "--cache_latents"]


def train(metadata: str, folder: str) -> str:
    """The pictures that a training finds, and the plan of its first epoch."""
    data = _data(metadata, folder)
    return f"{len(data.images):,} pictures in {len(data.plan(0, 1)):,} batches"


def read(metadata: str, folder: str) -> str:
    """The pictures that a training finds."""
    return f"{len(_data(metadata, folder).images):,} pictures"


def _data(metadata: str, folder: str) -> "PictureData":
    from sd_scripts.library.data.read_dataset import read_data
    from sd_scripts.library.report import Report
    from sd_scripts.options.cli import parse
    from sd_scripts.options.fine_tune import FineTuneOptions

    argv = [*FLAGS, f"--in_json={metadata}", f"--train_data_dir={folder}"]
    return read_data(parse(FineTuneOptions, argv, "fine_tune.py"), Report())


def check(metadata: str, folder: str) -> str:
    """What the page says of a form with such data."""
    from kohya_gui.server import make_studio
    from kohya_gui.settings import ServerOptions

    with tempfile.TemporaryDirectory() as runs:
        studio = make_studio(ServerOptions(runs_dir=runs, root=[str(Path(folder).parent)]), Path(sys.path[0]))
        values = {"in_json": metadata, "train_data_dir": folder, "resolution": "64", "output_dir": f"{folder}-out"}
        return str(studio.check("train", values)["fields"]["in_json"])


def album(_: str, folder: str) -> str:
    """What the Dataset tab holds of a folder."""
    from kohya_gui.dataset.album import Album, Source
    from kohya_gui.dataset.gate import Gate
    from kohya_gui.dataset.scan import scan
    from kohya_gui.dataset.thumbnails import Thumbnails
    from kohya_gui.files import Roots

    with tempfile.TemporaryDirectory() as kept:
        gate = Gate(Roots([Path(folder)]))
        opened = Album("", Source((folder,), "", (".caption", ".txt")), gate, Thumbnails(Path(kept)))
        return f"{scan(opened)['pictures']:,} pictures"


if __name__ == "__main__":
    named, what, place = sys.argv[1:]
    print({"read": read, "train": train, "check": check, "album": album}[what](named, place))
