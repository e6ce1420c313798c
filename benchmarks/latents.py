"""Making latents of a folder of photographs beside its bare parts: `python -m benchmarks.latents --help`.

The parts, in the same run: decoding and scaling all files without a model, and the VAE on batches that are in memory.
Ours are finetune/prepare_buckets_latents.py and, with the trainers' own caching, tools/cache_latents.py, as users start
them. What starting takes (imports, the model, the workers) is measured over pictures of next to no work, and counted
apart. On a CPU both parts share the cores, so their sum is the limit, on a GPU the slower of the two is.
"""

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.models import make_model
from benchmarks.photographs import KINDS, megapixels, write_photographs
from benchmarks.processes import cost_of, only_cores
from benchmarks.rows import TOO_SHORT, Given, Row, at_least, at_most, shown, stage
from benchmarks.stopping import REPOSITORY
from sd_scripts.library.io.atomic import write_json
from sd_scripts.library.team import own_cores

SCRIPTS = REPOSITORY / "sd_scripts"
PICTURES = {"cpu": 56, "cuda": 1120}
SMALL_PX = 64


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and on all cores together."""

    wall_s: float
    cpu_s: float

    def __add__(self, other: "Took") -> "Took":
        return Took(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def __sub__(self, other: "Took") -> "Took":
        return Took(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)


@dataclass(frozen=True)
class Folder:
    """Pictures with their metadata."""

    pictures: Path
    metadata: Path
    count: int


@dataclass(frozen=True)
class Setting:
    """What latents are made with."""

    model: Path
    side_px: int
    batch_size: int
    precision: str
    cores: int


def _prepared(folder: Folder, setting: Setting, side_px: int) -> list[str]:
    """The preparing stage."""
    out_json = folder.metadata.with_suffix(".out.json")
    argv = [str(SCRIPTS / "finetune" / "prepare_buckets_latents.py"), str(folder.pictures), str(folder.metadata)]
    argv += [str(out_json), str(setting.model), "--batch_size", str(setting.batch_size)]
    # In the short run, too, all readers are to be started; in the long one they are by themselves.
    readers = ["--max_data_loader_n_workers", str(setting.cores)] if side_px == SMALL_PX else []
    return [*argv, "--max_resolution", str(side_px), *readers]


def _by_trainers(folder: Folder, setting: Setting, side_px: int) -> list[str]:
    """What a training does before its first step."""
    argv = [str(SCRIPTS / "tools" / "cache_latents.py"), "--train_data_dir", str(folder.pictures)]
    argv += ["--in_json", str(folder.metadata), "--pretrained_model_name_or_path", str(setting.model)]
    argv += ["--vae_batch_size", str(setting.batch_size), "--resolution", str(side_px), "--enable_bucket"]
    return argv


OURS: dict[str, Callable[[Folder, Setting, int], list[str]]] = {
    "prepared": _prepared,
    "by a trainer, to disk": _by_trainers,
}
"""The ways to make latents, and their command lines."""


@dataclass(frozen=True)
class Round:
    """All of it once, near in time. `start` and `whole`: of each of ours."""

    model: Took
    decode: Took
    start: dict[str, Took]
    whole: dict[str, Took]

    def work(self, way: str) -> Took:
        """Ours, without starting."""
        return self.whole[way] - self.start[way]

    @property
    def parts(self) -> Took:
        """Both parts one after the other."""
        return self.model + self.decode


def measure(given: Given) -> list[Row]:
    """The rows of the table."""
    cuda = given.device == "cuda"
    photos, small = _folders(given)
    about = f"{photos.count} pictures, {shown(megapixels(list(photos.pictures.iterdir())))} megapixels"
    model = make_model(given.room / "model.safetensors", "sd1", "true" if cuda else "tiny")
    side_px, batch_size = (64, 4) if given.quick else (512, 8) if cuda else (256, 4)
    every = own_cores()
    # At this side a tiny VAE takes a CPU as long as decoding does: with a true one, decoding would not be seen.
    rows: list[Row] = []
    for cores in [every] if cuda or given.quick else [count for count in (2, 4) if count <= every]:
        setting = Setting(model, side_px, batch_size, "fp16" if cuda else "no", cores)
        rounds = [_round(number, photos, small, setting) for number in range(given.few_rounds)]
        for way in OURS:
            where = f"{way}, {cores} cores"
            if cuda:
                rows += _gpu_rows(rounds, way, photos.count, where, about)
            else:
                rows += _cpu_rows(rounds, way, where, about)
    return rows


def _folders(given: Given) -> tuple[Folder, Folder]:
    shapes = [(160, 120), (240, 160)] if given.quick else []
    count = 16 if given.quick else PICTURES[given.device]
    pictures = given.room / "photos"
    write_photographs(pictures, count, *([shapes] if shapes else []))
    small = given.room / "small"
    write_photographs(small, len(KINDS), [(SMALL_PX, SMALL_PX)])
    return _with_metadata(pictures, given.room), _with_metadata(small, given.room)


def _with_metadata(pictures: Path, room: Path) -> Folder:
    metadata = room / f"{pictures.name}.json"
    entries = {path.stem: {"caption": "a photograph"} for path in sorted(pictures.iterdir())}
    write_json(metadata, entries)
    return Folder(pictures, metadata, len(entries))


def _round(number: int, photos: Folder, small: Folder, setting: Setting) -> Round:
    """All of them, in another order each time."""
    runs: list[tuple[str, str, Callable[[], Took]]] = [
        ("model", "", partial(_part, "model", photos, setting)),
        ("decode", "", partial(_part, "decode", photos, setting)),
    ]
    for way in OURS:
        runs.append(("start", way, partial(_ours, way, small, setting, SMALL_PX)))
        runs.append(("whole", way, partial(_ours, way, photos, setting, setting.side_px)))
    first = number * len(runs) // 2 % len(runs)
    with only_cores(setting.cores):
        took = {(what, way): run() for what, way, run in runs[first:] + runs[:first]}
    start, whole = ({way: took[what, way] for way in OURS} for what in ("start", "whole"))
    return Round(took["model", ""], took["decode", ""], start, whole)


def _part(part: str, folder: Folder, setting: Setting) -> Took:
    argv = ["-m", "benchmarks.latents_parts", part, str(folder.pictures), str(setting.model)]
    argv += ["--side", str(setting.side_px), "--batch", str(setting.batch_size)]
    return Took(**json.loads(cost_of([*argv, "--precision", setting.precision]).said.splitlines()[-1]))


def _ours(way: str, folder: Folder, setting: Setting, side_px: int) -> Took:
    """A script, over pictures none of which has latents."""
    argv = [*OURS[way](folder, setting, side_px), "--mixed_precision", setting.precision]
    cost = cost_of([*argv, "--min_bucket_reso", "64", "--max_bucket_reso", str(2 * side_px)])
    for made in [*folder.pictures.glob("*.npz"), *folder.pictures.glob(".sd_cache.json")]:
        made.unlink()
    return Took(cost.wall_s, cost.cpu_s)


def _cpu_rows(rounds: list[Round], way: str, where: str, about: str) -> list[Row]:
    """On a CPU the parts share the cores."""
    ours, parts = [one.work(way) for one in rounds], [one.parts for one in rounds]
    rows = []
    for what, name, goal in (("by the clock", "wall_s", at_most(1.1)), ("of all cores", "cpu_s", at_most(1.05))):
        model, decode = (
            statistics.median(getattr(getattr(one, part), name) for one in rounds) for part in ("model", "decode")
        )
        took = [(getattr(our, name), getattr(bare, name)) for our, bare in zip(ours, parts, strict=True)]
        note = f"{about}; the VAE alone {model:.1f} s, decoding alone {decode:.1f} s"
        our_s, bare_s = (statistics.median(of_all) for of_all in zip(*took, strict=True))
        ratio = statistics.median(our / bare for our, bare in took)
        rows.append(_told(Row(f"{where}: seconds {what}", "s", our_s, bare_s, goal, note, ratio)))
    return [*rows, *_start_rows(rounds, way, where)]


def _gpu_rows(rounds: list[Round], way: str, count: int, where: str, about: str) -> list[Row]:
    """On a GPU both parts go on at the same time."""
    rates = [(count / one.work(way).wall_s, count / max(one.model.wall_s, one.decode.wall_s)) for one in rounds]
    model, decode = (
        statistics.median(count / getattr(one, part).wall_s for one in rounds) for part in ("model", "decode")
    )
    note = f"{about}; the VAE alone {model:,.0f} /s, decoding alone {decode:,.0f} /s"
    ours, bare = (statistics.median(of_all) for of_all in zip(*rates, strict=True))
    ratio = statistics.median(our / slower for our, slower in rates)
    return [
        _told(Row(f"{where}: pictures a second", "/s", ours, bare, at_least(0.95), note, ratio)),
        *_start_rows(rounds, way, where),
    ]


def _told(row: Row) -> Row:
    """The row, without its figure where that is what chance left when starting was taken off."""
    sound = row.ours is not None and row.measured_ratio is not None and min(row.ours, row.measured_ratio) > 0
    return row if sound else replace(row, ours=None, measured_ratio=None, note=TOO_SHORT)


def _start_rows(rounds: list[Round], way: str, where: str) -> list[Row]:
    wall_s, cpu_s = (statistics.median(getattr(one.start[way], name) for one in rounds) for name in ("wall_s", "cpu_s"))
    return [Row(f"{where}: starting, counted apart", "s", wall_s, note=f"{cpu_s:.1f} s of all cores")]


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
