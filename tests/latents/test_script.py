"""prepare_buckets_latents.py, run as its users run it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sd_scripts.library.data.latents import read_latents
from sd_scripts.library.example.sd_models import make_sd1
from tests.data.bad_pictures import BROKEN, NAMES, ODD, write_named, write_pictures

SCRIPT = Path(__file__).parents[2] / "sd_scripts" / "finetune" / "prepare_buckets_latents.py"
SMALL = ["--max_resolution", "64,64", "--min_bucket_reso", "32", "--max_bucket_reso=128", "--bucket_reso_steps", "32"]


def run(*argv: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(SCRIPT), *map(str, argv)]
    return subprocess.run(
        words, capture_output=True, text=True, encoding="utf-8", cwd=cwd, env=os.environ | environment
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sd1(tmp_path_factory.mktemp("model") / "tiny.ckpt")


def test_every_kind_of_bad_picture_is_skipped_with_its_reason_or_cached_right(tmp_path: Path, model: Path) -> None:
    pics = tmp_path / "pics of $(me)"
    # Full paths as keys, and a stem each, as truncated.jpg and truncated.png would share their latents.
    broken = {name.replace(".", "_") + Path(name).suffix: content for name, content in BROKEN.items()}
    paths = write_pictures(pics, broken | ODD) + write_named(pics, NAMES)
    write_named(pics, ("unnamed.png",))
    (tmp_path / "in.json").write_text(json.dumps({str(path): {"tags": "x"} for path in paths}), encoding="utf-8")
    argv = (pics.name, "in.json", "out.json", model, "--full_path", "--batch_size", 4, *SMALL)
    done = run(*argv, "--max_data_loader_n_workers", 2, cwd=tmp_path, SD_SCRIPTS_EVENTS=str(tmp_path / "events"))
    assert done.returncode == 0, done.stderr

    out = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    for path in paths:
        cached = path.with_suffix(".npz")
        assert cached.is_file() == (path.name not in broken), path
        assert ("train_resolution" in out[str(path)]) == cached.is_file()
        if cached.is_file():
            width, height = out[str(path)]["train_resolution"]
            assert read_latents(cached).latents_CHW.shape == (4, height // 8, width // 8)
        else:
            assert f"left out: {pics.name}/{path.name}: " in done.stderr
    assert not (pics / "unnamed.npz").exists()
    assert "lacks, so that no latents were made of them: 1" in done.stderr
    assert read_latents(pics / "turned.npz").made_from.original_px == (64, 96)
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".part" or ".part" in p.name]

    events = [json.loads(line) for line in (tmp_path / "events").read_text(encoding="utf-8").splitlines()]
    assert {event["event"] for event in events} >= {"start", "phase", "progress", "item_failed", "saved", "summary"}
    assert events[-1]["counts"] == {
        "made": len(ODD) + len(NAMES),
        "kept": 0,
        "skipped": len(broken),
        "not_in_metadata": 1,
        "without_picture": 0,
    }
    assert sum(row["images"] for row in events[-1]["tables"]["buckets"]) == len(ODD) + len(NAMES)


def test_wrong_options_end_in_one_sentence_and_quickly(tmp_path: Path) -> None:
    write_named(tmp_path / "pics", ("a.png",))
    (tmp_path / "in.json").write_text('{"a": {"tags": "x"}}')
    (tmp_path / "broken.json").write_text('{"a": ')
    begun = time.monotonic()
    for argv, sentence in (
        (
            ("pics", "in.json", "o.json", "m", "--max_resolution", "100,100"),
            "Error: --max_resolution 100,100 is no mult",
        ),
        (("pics", "broken.json", "o.json", "m"), "Error: broken.json is broken JSON at line 1"),
        (("pics", "in.json", "o.json"), "Error: model_name_or_path is needed"),
    ):
        done = run(*argv, cwd=tmp_path)
        assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert time.monotonic() - begun < 6


def test_a_model_that_is_no_model_is_said(tmp_path: Path) -> None:
    write_named(tmp_path / "pics", ("a.png",))
    (tmp_path / "in.json").write_text('{"a": {"tags": "x"}}')
    (tmp_path / "m.safetensors").write_bytes(b"not a model")
    done = run("pics", "in.json", "o.json", "m.safetensors", cwd=tmp_path)
    assert done.returncode == 2 and "Error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "o.json").exists()
