"""Captioning and tagging beside the bare computation: `python -m benchmarks.tagging --help`.

A folder of photographs is described by the scripts, run as users run them, and in turn with that the bare work is
measured: (m) the model on ready batches, and (d) the reading of the same files with all cores and no model. On a CPU
both share the cores: seconds of all cores are compared with m + d, and so is the time by the clock. On a GPU the slower
of the two is the limit. Both sides decode large JPEG files at a reduced scale (--fast_decode). What a script needs
before the first picture (imports, model) is shown apart.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import psutil
from PIL import ExifTags, Image

from benchmarks import tagging_models
from benchmarks.growth import Work, growth
from benchmarks.photographs import SHAPES_PX, photograph, write_photographs
from benchmarks.processes import failed, only_cores, run
from benchmarks.rows import Given, Row, at_least, at_most, stage
from benchmarks.stopping import REPOSITORY, started
from benchmarks.tagging_bare import BATCH_SIZE, BEAMS, GIT_LENGTH, LENGTHS
from sd_scripts.library.tagging.deepdanbooru import Fitted
from sd_scripts.library.tagging.wd14 import Squared
from sd_scripts.library.team import own_cores

SCRIPTS = REPOSITORY / "sd_scripts" / "finetune"
PICTURES = {"cpu": 56, "cuda": 560}
CORES = (2, 4)
CPU_BOUND, WALL_BOUND, GPU_BOUND = 1.05, 1.1, 0.95

SEEN = (25_000, 100_000)
"""Pictures of folders of which all have their text."""

SEEN_BOUND_PER_S = 5000
DESCRIBED = (500, 2000)
"""Small pictures of folders that are described from the first to the last."""

LINEAR_BOUND = 1.2
MEMORY_BOUND_MIB = {"seen": 80, "described": 40}
"""How much more the larger folder may take."""

ODD_PX = (3005, 2001)
"""A pixel more than a number of fours: at a quarter of the scale, the last row and column stand for that one."""

TURNED = (3, 6)
"""Orientations by EXIF, by which that one comes first."""

SEEN_TIMES = 3
"""So often each of these is looked through: the smaller one takes less than starting does."""

QUICK_SHARE = 50
SMALL_PX = 448
LOOK_EVERY_S = 0.01


@dataclass(frozen=True)
class Case:
    """A script with its model. `bare`: what benchmarks/tagging_bare.py calls it."""

    what: str
    bare: str
    script: str
    model_option: str
    make: Callable[[Path, Any], Path]
    flags: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu", "cuda")


_LENGTHS = tuple(f"--{name}={value}" for name, value in LENGTHS.items())
_BEAMS = (*_LENGTHS, "--beam_search", f"--num_beams={BEAMS}")
_WD14, _BLIP = "tag_images_by_wd14_tagger.py", "make_captions.py"
CASES = (
    Case("WD14 (ViT)", "wd14", _WD14, "repo_id", tagging_models.make_wd14),
    Case(
        "WD14 (ConvNext)",
        "wd14",
        _WD14,
        "repo_id",
        lambda folder, size: tagging_models.make_wd14(folder, size, "convnext"),
        devices=("cuda",),
    ),
    Case(
        "DeepDanbooru",
        "deepdanbooru",
        "tag_images_by_deepdanbooru.py",
        "project_path",
        tagging_models.make_deepdanbooru,
    ),
    Case("BLIP, words drawn", "blip", _BLIP, "caption_weights", tagging_models.make_blip, _LENGTHS),
    Case(f"BLIP, {BEAMS} beams", "blip_beams", _BLIP, "caption_weights", tagging_models.make_blip, _BEAMS),
    Case(
        "GIT",
        "git",
        "make_captions_by_git.py",
        "model_id",
        tagging_models.make_git,
        (f"--max_length={GIT_LENGTH}",),
    ),
)


@dataclass(frozen=True)
class Taken:
    """Seconds that ours took with the pictures and before them; and those of the model and of the reading alone."""

    wall_s: float
    cpu_s: float
    start_s: float
    model: dict[str, float]
    reading: dict[str, float]


def measure(given: Given) -> list[Row]:
    """All figures."""
    count = BATCH_SIZE if given.quick else PICTURES[given.device]
    write_photographs(given.room / "pictures", count, SHAPES_PX[: 1 if given.quick else None])
    rows = []
    for number, case in enumerate(CASES):
        if given.device in case.devices:
            size = "tiny" if given.quick else "reduced" if given.device == "cpu" else "true"
            model = case.make(given.room / f"model{number}", size)
            for cores in _cores(given):
                rows += _rows(f"{case.what}, {cores} cores", _takes(case, model, cores, given), given.device)
    return rows + exactness(given.room / "pictures", given.room / "turned") + many(given)


def _cores(given: Given) -> list[int]:
    there = own_cores()
    if given.quick or given.device == "cuda":
        return [there]
    return [cores for cores in CORES if cores <= there] or [there]


def _takes(case: Case, model: Path, cores: int, given: Given) -> list[Taken]:
    pictures = given.room / "pictures"
    with only_cores(cores):
        if case.bare == "deepdanbooru" and not list(model.glob("*.onnx")):
            # The first run makes the ONNX form, once for all.
            _ours(case, model, pictures)
        return [
            _take(
                lambda: _ours(case, model, pictures), partial(_bare, case, model, pictures, cores, given.device), number
            )
            for number in range(_rounds(case, given))
        ]


def _rounds(case: Case, given: Given) -> int:
    """Taggers are quick, and of quick things more are to be measured."""
    return 2 * given.rounds if case.bare in tagging_models.TAGS and not given.quick else given.few_rounds


def _take(ours: Callable[[], "Told"], bare: Callable[[str], dict[str, float]], number: int) -> Taken:
    """One of each, in another order each time: machines change their speed."""
    if number % 2:
        model, reading = bare("model"), bare("reading")
        told = ours()
    else:
        told = ours()
        reading, model = bare("reading"), bare("model")
    return Taken(told.wall_s, told.cpu_s, told.start_s, model, reading)


def _rows(what: str, taken: list[Taken], device: str) -> list[Row]:
    start_s = statistics.median(one.start_s for one in taken)
    wall = _Figures([(one.wall_s, one.model["wall_s"], one.reading["wall_s"]) for one in taken], device)
    note = f"{wall.note}; before the first picture: {start_s:.1f} s"
    if device == "cuda":
        count = PICTURES[device]
        return [
            Row(what, "pictures/s", count / wall.ours, count / wall.bare, at_least(GPU_BOUND), note, 1 / wall.ratio)
        ]
    cpu = _Figures([(one.cpu_s, one.model["cpu_s"], one.reading["cpu_s"]) for one in taken], device)
    return [
        Row(f"{what}: seconds of all cores", "s", cpu.ours, cpu.bare, at_most(CPU_BOUND), cpu.note, cpu.ratio),
        Row(f"{what}: by the clock", "s", wall.ours, wall.bare, at_most(WALL_BOUND), note, wall.ratio),
    ]


class _Figures:
    """Medians of seconds: ours, the model's and the reading's, of several times."""

    def __init__(self, seconds: list[tuple[float, float, float]], device: str) -> None:
        # On a CPU both share the cores; beside a GPU one of them waits for the other.
        join: Callable[[tuple[float, float]], float] = sum if device == "cpu" else max
        middle = statistics.median
        self.ours = middle(ours for ours, _, _ in seconds)
        self.bare = middle(join((model, reading)) for _, model, reading in seconds)
        self.ratio = middle(ours / join((model, reading)) for ours, model, reading in seconds)
        model, reading = middle(model for _, model, _ in seconds), middle(reading for _, _, reading in seconds)
        self.note = f"model {model:.2f} s, reading {reading:.2f} s"


def _ours(case: Case, model: Path, pictures: Path) -> "Told":
    flags = [f"--{case.model_option}={model}", f"--batch_size={BATCH_SIZE}", "--fast_decode", *case.flags]
    return run_script(case.script, [str(pictures), *flags], pictures.parent / "events.jsonl")


@dataclass(frozen=True)
class Moment:
    """When an event was told (Unix seconds), the seconds of all cores and the most memory until then, and the event."""

    time_s: float
    cpu_s: float
    peak_mib: float
    row: dict[str, Any]


@dataclass(frozen=True)
class Told:
    """A run of a script: seconds from the first picture on and before it, and the counts of its summary."""

    wall_s: float
    cpu_s: float
    start_s: float
    peak_mib: float
    counts: dict[str, int]


def run_script(script: str, arguments: list[str], events: Path) -> Told:
    """Runs a script as a user does, and looks on. Errors: SystemExit, with what it said, where it fails."""
    events.write_text("")
    began_s = time.time()
    # A file takes whatever it says, while nobody reads.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        argv, environment = [SCRIPTS / script, *arguments], _environment() | {"SD_SCRIPTS_EVENTS": str(events)}
        with (
            started(argv, env=environment, stdout=subprocess.DEVNULL, stderr=said) as process,
            events.open() as lines,
        ):
            moments = _moments(psutil.Process(process.pid), lines)
            process.wait()
        if process.returncode or "summary" not in moments:
            said.seek(0)
            raise failed([script], process.returncode, said.read())
    # Where nothing is to be described, there is no such phase.
    before, after = moments.get("describe", Moment(began_s, 0.0, 0.0, {})), moments["summary"]
    return Told(
        after.time_s - before.time_s,
        after.cpu_s - before.cpu_s,
        before.time_s - began_s,
        after.peak_mib,
        after.row.get("counts", {}),
    )


def _moments(watched: psutil.Process, lines: IO[str]) -> dict[str, Moment]:
    """When the describing of pictures began, and when all was done."""
    moments: dict[str, Moment] = {}
    ended, peak_mib = False, 0.0
    while not ended and "summary" not in moments:
        # First this, then its last words.
        ended = watched.status() == psutil.STATUS_ZOMBIE
        peak_mib = max(peak_mib, watched.memory_info().rss / 2**20)
        for row in map(json.loads, lines):
            name = row["name"] if row["event"] == "phase" else row["event"]
            if name in ("describe", "summary"):
                used = watched.cpu_times()
                cpu_s = used.user + used.system + used.children_user + used.children_system
                moments[name] = Moment(row["time"], cpu_s, peak_mib, row)
        time.sleep(LOOK_EVERY_S)
    return moments


def _bare(case: Case, model: Path, pictures: Path, cores: int, device: str, what: str) -> dict[str, float]:
    """Seconds of the bare computation: its "model" or its "reading"."""
    words = [case.bare, str(model), str(pictures), str(cores), device, what]
    said = run(["-m", "benchmarks.tagging_bare", *words], env=_environment() | {"OMP_WAIT_POLICY": "PASSIVE"})
    took: dict[str, float] = json.loads(said.splitlines()[-1])
    return took


def _environment() -> dict[str, str]:
    """Both sides may use the cores that they are given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    return kept | {"HF_HUB_OFFLINE": "1"}


def exactness(pictures: Path, turned: Path) -> list[Row]:
    """What a tagger sees with --fast_decode beside what it sees without: how far JPEGs are apart, of 255 steps.

    Those of a folder, and some that cameras turned, which are written into another one.
    """
    import numpy as np

    paths = [*sorted(pictures.glob("*.jpg")), *_write_turned(turned)]
    rows = []
    for what, exact, fast, steps in (
        ("WD14", Squared(448), Squared(448, fast=True), 1.0),
        ("DeepDanbooru", Fitted(512, 512), Fitted(512, 512, fast=True), 255.0),
    ):
        apart = [np.abs(exact(path) * steps - fast(path) * steps) for path in paths]
        note = f"in the JPEG that differs most; one colour at most {max(one.max() for one in apart):.0f}"
        mean = float(max(one.mean() for one in apart))
        rows.append(Row(f"--fast_decode, {what}: mean difference", "of 255", mean, None, at_most(1.0, "value"), note))
    return rows


def _write_turned(folder: Path) -> list[Path]:
    """A JPEG upside down, and one on its side, of which no reduced scale has whole pixels everywhere."""
    folder.mkdir()
    image = Image.fromarray(photograph(*ODD_PX, seed=0))
    paths = []
    for orientation in TURNED:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        paths.append(folder / f"turned{orientation}.jpg")
        image.save(paths[-1], quality=92, exif=exif)
    return paths


def many(given: Given) -> list[Row]:
    """A second run, which only sees that all is done; and folders of many small files, whose memory must not grow."""
    model = tagging_models.make_wd14(given.room / "tiny", "tiny")
    share = QUICK_SHARE if given.quick else 1
    rows = []
    for name, counts in (("seen", SEEN), ("described", DESCRIBED)):
        few, many = (count // share for count in counts)
        folders = {count: _small(given, count, name) for count in (1, few, many)}
        # What is described at the first look is only seen at the second.
        again = SEEN_TIMES if name == "seen" and not given.quick else 1
        runs = {count: [_over(model, folder, given) for _ in range(again)] for count, folder in folders.items()}
        took = {count: Work(count, statistics.median(run.cpu_s for run in told)) for count, told in runs.items()}
        if name == "seen":
            per_s = many / statistics.median(run.start_s + run.wall_s for run in runs[many])
            goal, note = at_least(SEEN_BOUND_PER_S, "value"), "its start included"
            rows.append(Row(f"second run over {many:,}, all described", "pictures/s", per_s, None, goal, note))
        what = f"{many:,} small files {name}"
        rows.append(growth(what, took[1], took[few], took[many], LINEAR_BOUND))
        grown_mib = max(run.peak_mib for run in runs[many]) - max(run.peak_mib for run in runs[few])
        goal = at_most(MEMORY_BOUND_MIB[name], "value")
        rows.append(Row(f"{what}: memory above that of {few:,}", "MiB", grown_mib, None, goal))
    return rows


def _small(given: Given, count: int, name: str) -> Path:
    """A folder of so many small pictures; those that are only to be seen are described already."""
    folder, described = given.room / f"{name}{count}", name == "seen"
    folder.mkdir()
    packed = io.BytesIO()
    Image.linear_gradient("L").resize((SMALL_PX, SMALL_PX)).save(packed, "JPEG")
    for number in range(count):
        # What is described already is not opened: it may be empty.
        (folder / f"{number:07}.jpg").write_bytes(b"" if described else packed.getbuffer())
        if described:
            (folder / f"{number:07}.txt").write_text("tag\n")
    return folder


def _over(model: Path, folder: Path, given: Given) -> "Told":
    """A run over a folder."""
    flags = [f"--repo_id={model}", f"--batch_size={BATCH_SIZE}", "--skip_described"]
    return run_script(_WD14, [str(folder), *flags], given.room / "events.jsonl")


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
