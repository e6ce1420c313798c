"""Stages before training in two real processes: the same files as from one, one report, and nothing lost by a kill."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from sd_scripts.library.data.prepare_latents import prepare_latents
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.models.vae import load_vae
from sd_scripts.library.report import Report
from sd_scripts.options.cli import parse
from sd_scripts.options.latents import PrepareLatentsOptions

ROOT = Path(__file__).parents[2]
STAGE = ROOT / "sd_scripts" / "finetune" / "prepare_buckets_latents.py"
LAUNCH = [str(ROOT / "sd_scripts" / "launch.py"), "--num_processes=2", "--main_process_port=0"]
SMALL = ["--max_resolution=64,64", "--min_bucket_reso=32", "--max_bucket_reso=128", "--bucket_reso_steps=32",
         "--max_data_loader_n_workers=0"]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_sd1(tmp_path_factory.mktemp("model") / "tiny.safetensors")


def make_pictures(folder, count):
    """Pictures of two sizes, and a file that is none."""
    folder.mkdir()
    noise = np.random.default_rng(3).integers(0, 256, (count, 64, 96, 3), dtype=np.uint8)
    for i, pixels_HWC in enumerate(noise):
        Image.fromarray(pixels_HWC[:, : 64 + i % 2 * 32]).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    entries = {path.stem: {"caption": "a picture"} for path in folder.iterdir()}
    folder.with_suffix(".json").write_text(json.dumps(entries))


def command(folder, model, *more, before=()):
    return [sys.executable, *before, str(STAGE), folder.name, f"{folder.name}.json", f"{folder.name} out.json",
            str(model), *SMALL, *more]  # fmt: skip


def environment(folder):
    events = folder.with_suffix(".events")
    events.unlink(missing_ok=True)
    temporary = folder.with_suffix(".temporary")
    temporary.mkdir()
    return {**os.environ, "OMP_NUM_THREADS": "1", "SD_SCRIPTS_EVENTS": str(events), "TMPDIR": str(temporary)}


def run_here(folder, model, *more):
    """The stage by this process; the counts that it tells."""
    files = [str(folder), f"{folder}.json", f"{folder} out.json", str(model)]
    report = Report(out=io.StringIO())
    prepare_latents(parse(PrepareLatentsOptions, [*files, *SMALL, *more], STAGE.name), report, load_vae)
    return report.counts


def test_two_processes_make_the_files_of_one_and_tell_once(tmp_path, model):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        make_pictures(folder, 9)
    run_here(one, model)
    words = command(two, model, before=LAUNCH)
    done = subprocess.run(words, cwd=tmp_path, env=environment(two), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in two.with_suffix(".events").read_text().splitlines()]
    assert (tmp_path / "one out.json").read_text() == (tmp_path / "two out.json").read_text()
    names = sorted(path.name for path in one.glob("*.npz"))
    assert len(names) == 9 and names == sorted(path.name for path in two.glob("*.npz"))
    for name in names:
        mine, its = np.load(one / name), np.load(two / name)
        assert str(mine["content_hash"]) == str(its["content_hash"])
        np.testing.assert_allclose(mine["arr_0"], its["arr_0"], atol=1e-5)
    kinds = [event["event"] for event in events]
    assert kinds.count("start") == kinds.count("summary") == kinds.count("saved") == kinds.count("item_failed") == 1
    counts = events[-1]["counts"]
    assert (counts["made"], counts["skipped"]) == (9, 1) and done.stderr.count("left out: ") == 1
    # The launcher says nothing of its own, and leaves nothing behind.
    assert "accelerate" not in done.stderr and not list(two.with_suffix(".temporary").glob("*elastic*"))
    assert not list(two.with_suffix(".temporary").glob("launch-*"))
    # What both have found out is in the index, for the next run.
    index = json.loads((two / ".sd_cache.json").read_text())["files"]
    assert {name for name in index if name.endswith(".npz")} == set(names)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_what_a_killed_process_left_is_found_by_the_next_run(tmp_path, model):
    folder = tmp_path / "many"
    make_pictures(folder, 300)
    launched = subprocess.Popen(
        command(folder, model, before=LAUNCH), cwd=tmp_path, env=environment(folder), stderr=subprocess.PIPE, text=True
    )
    with launched:
        until_s = time.monotonic() + 120
        while len(list(folder.glob("*.npz"))) < 10:
            assert time.monotonic() < until_s and launched.poll() is None
            time.sleep(0.02)
        workers = psutil.Process(launched.pid).children()
        next(one for one in workers if one.environ()["RANK"] == "1").send_signal(signal.SIGKILL)
        said = launched.stderr.read()
        assert launched.wait(60) == 1
    assert "Error: process 2 was ended from outside (SIGKILL)" in said and "Traceback" not in said
    # What the killed process had not finished has a hidden name.
    left = 300 - len([file for file in folder.glob("*.npz") if not file.name.startswith(".")])
    assert left > 0 and not psutil.wait_procs(workers, 10)[1]
    counts = run_here(folder, model, "--skip_existing")
    assert (counts["made"], counts["kept"], counts["skipped"]) == (left, 300 - left, 1)
    assert len(list(folder.glob("*.npz"))) == 300
