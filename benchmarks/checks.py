"""How fast a second run sees that no picture has changed: `python -m benchmarks.checks --help`.

For folders of so many small pictures, each with latents of both layouts, a caption and what a text encoder made of it,
this measures the first look at files that no index knows, and the second one: of the preparing stage, of a training
with latents on disk, and of the texts' files. The exit code is 1 where a goal is missed.
"""

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.processes import run
from benchmarks.rows import Row, at_least, at_least_one, json_file, tell
from benchmarks.stopping import room, stoppable
from sd_scripts.library.data.buckets import BucketRules, Fit
from sd_scripts.library.data.known_files import INDEX, KnownFiles, content_hash
from sd_scripts.library.data.latents import CachedLatents, MadeFrom, plain_path, write_latents
from sd_scripts.library.data.latents_cache import Encodable, add_latents, cache_path
from sd_scripts.library.data.latents_stage import LatentsStage
from sd_scripts.library.data.latents_worker import Wanted
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.ram import peak_ram_bytes
from sd_scripts.library.report import Report
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_db import TrainDbOptions

SIDE_PX = 64
VAE, PRECISION, CAPTION = "ab" * 32, "no", "a small picture"
GOAL_PER_S = 5000
LONG_AGO_NS = 10**18
NAME = "{:06d}"


@dataclass(frozen=True)
class Look:
    """What a look at all files of a folder took.

    `cpu_per_s`: of the second look by the time that it had a core, whatever else the machine did. `peak_mib`: the
    memory beyond what the imported program takes.
    """

    what: str
    files: int
    first_per_s: float
    second_per_s: float
    cpu_per_s: float
    peak_mib: float

    def rows(self) -> list[Row]:
        """As the table has them."""
        what, goal = f"{self.what}, {self.files:,} pictures: second look", at_least(GOAL_PER_S, of="value")
        return [
            Row(what, "/s", self.second_per_s, goal=goal, note=f"{self.cpu_per_s:,.0f} by the processor's time"),
            Row("... first look", "/s", self.first_per_s),
            Row("... memory", "MiB", self.peak_mib),
        ]


def main() -> int:
    """Measures, prints the table, and says whether every goal holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--files", type=at_least_one, nargs="+", default=[5000, 20_000], help="pictures (default: 5000 20000)"
    )
    parser.add_argument("--json", type=json_file, help="also write the figures to this file")
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "FOLDER", "FILES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, folder, files = options.one
        print(json.dumps(asdict(measured(what, Path(folder), int(files)))))
        return 0
    rows = [row for files in options.files for look in of_folder(files) for row in look.rows()]
    return tell(rows, {}, options.json)


def of_folder(files: int) -> list[Look]:
    """The looks at one folder, each in a process of its own: memory counts from its beginning."""
    with room() as place:
        fill(place, files)
        argv = ["-m", "benchmarks.checks", "--one"]
        return [Look(**json.loads(run([*argv, what, place, str(files)]))) for what in LOOKS]


def fill(place: Path, files: int) -> None:
    """Makes the folder 1_thing: the same small picture many times over, and what is cached of it."""
    from PIL import Image

    folder = place / "1_thing"
    folder.mkdir()
    first = folder / f"{NAME.format(0)}.jpg"
    Image.effect_noise((SIDE_PX, SIDE_PX), 80).convert("RGB").save(first)
    first.with_suffix(".caption").write_text(CAPTION, encoding="utf-8")
    data, shape = first.read_bytes(), (4, SIDE_PX // 8, SIDE_PX // 8)
    size_px = (SIDE_PX, SIDE_PX)
    made = MadeFrom(content_hash(data), len(data), size_px, Fit(size_px, size_px), VAE, PRECISION)
    latents_CHW = np.zeros(shape, np.float32)
    write_latents(plain_path(first), CachedLatents(latents_CHW, made))
    add_latents(cache_path(first, size_px), Encodable(made, "", np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)), latents_CHW)
    _write_texts(first)
    contents = {path.name.removeprefix(first.stem): path.read_bytes() for path in folder.iterdir()}
    for number in range(files):
        for ending, content in contents.items():
            path = folder / (NAME.format(number) + ending)
            path.write_bytes(content)
            os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def _text_files(pictures: list[Path]) -> Any:
    from sd_scripts.library.train.text_files import TextFiles, TextSource, places_of

    source = TextSource("cd" * 32, 75, 0, False, PRECISION)
    places = places_of(((picture, CAPTION) for picture in pictures), "sd1_te_outputs")
    return TextFiles(places, source, ("hidden_BLD",), KnownFiles())


def _write_texts(picture: Path) -> None:
    import torch

    files = _text_files([picture])
    ((caption, paths),) = files.places.items()
    files.write(caption, paths[0], {"hidden_BLD": torch.zeros(77, 16)})


def look_preparing(place: Path, pictures: list[Path]) -> int:
    """The preparing stage's look: how many pictures keep their latents."""
    wanted = Wanted(BucketRules((SIDE_PX, SIDE_PX), min_px=SIDE_PX), VAE, PRECISION, keep_fitting=True)
    # Nothing is to be encoded: an encoder would be an error.
    stage = LatentsStage(wanted, cast(Any, None), 1, Report(out=io.StringIO()))
    stage.run(pictures, 0)
    return stage.counts["kept"]


def look_training(place: Path, pictures: list[Path]) -> int:
    """A training's look at its folder, captions and all: how many pictures have their latents."""
    values = {"train_data_dir": str(place), "resolution": str(SIDE_PX), "cache_latents_to_disk": True}
    data = read_data(from_values(TrainDbOptions, values), Report(out=io.StringIO()), VAE, "sd", PRECISION)
    return len(data.images) - len(data.uncached())


def look_texts(place: Path, pictures: list[Path]) -> int:
    """A training's look at the files of encoded captions: how many there are."""
    files = _text_files(pictures)
    fitting = len(pictures) - len(files.lacking())
    files.known.keep()
    return fitting


LOOKS: dict[str, Callable[[Path, list[Path]], int]] = {
    "preparing": look_preparing,
    "training": look_training,
    "encoded captions": look_texts,
}


def measured(what: str, place: Path, files: int) -> Look:
    """A first look, and the quickest of three that come after it: other programs may be at work too."""
    folder = place / "1_thing"
    pictures = [folder / f"{NAME.format(number)}.jpg" for number in range(files)]
    (folder / INDEX).unlink(missing_ok=True)
    before_mib = peak_ram_bytes() / 2**20
    rates, cpu_rates = [], []
    for _ in range(4):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        found = LOOKS[what](place, pictures)
        rates.append(files / (time.perf_counter() - begun))
        cpu_rates.append(files / (time.process_time() - begun_cpu))
        assert found == files, f"{what}: {found} of {files} fit"
    return Look(what, files, rates[0], max(rates[1:]), max(cpu_rates[1:]), peak_ram_bytes() / 2**20 - before_mib)


if __name__ == "__main__":
    sys.exit(stoppable(main))
