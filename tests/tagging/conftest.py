"""Tiny real models, a folder of awkward pictures, and a way to run the scripts as a user does."""

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from sd_scripts.library.example import taggers
from sd_scripts.library.report import Report

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "sd_scripts" / "finetune"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Makes each model once, when it is first asked for."""
    folder = tmp_path_factory.mktemp("models")
    makers = {
        "blip": taggers.make_blip,
        "git": taggers.make_git,
        "wd14": taggers.make_wd14,
        "wd14_mapping": lambda path: taggers.make_wd14(path, "mapping", batch_size=2),
        "deepdanbooru": taggers.make_deepdanbooru,
        "deepdanbooru_h5": lambda path: taggers.make_deepdanbooru(path, ".h5"),
        "original": lambda path: taggers.make_blip_original(path / "model_large_caption.pth"),
    }
    made = {}

    def model(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = makers[name](folder / name)
        return made[name]

    return model


@pytest.fixture
def said():
    """A report, and what it says."""
    out = io.StringIO()
    report = Report(out=out)
    return report, out.getvalue


@pytest.fixture
def pictures(tmp_path):
    """Good pictures of every awkward kind; pairs that must be seen alike; and four that cannot be used."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "my pictures 画像"
    folder.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    scene = Image.fromarray(noise).resize((70, 50), Image.Resampling.NEAREST)
    scene.save(folder / "plain.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    scene.rotate(90, expand=True).save(folder / "turned.png", exif=turned)
    scene.convert("CMYK").save(folder / "cmyk.jpg")
    clear = scene.quantize(16)
    clear.info["transparency"] = 0
    clear.save(folder / "palette.png", transparency=0)
    over = Image.open(folder / "palette.png").convert("RGBA")
    Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB").save(
        folder / "palette_on_white.png"
    )
    for name in ("emoji 😀 日本.png", "quote'$(x)`.png", "UPPER.PNG"):
        scene.save(folder / name)
    scene.save(folder / "blocked.png")
    whole = io.BytesIO()
    scene.save(whole, "JPEG")
    (folder / "truncated.jpg").write_bytes(whole.getvalue()[:-900])
    (folder / "text.png").write_text("I am text.")
    (folder / "empty.webp").write_bytes(b"")
    return folder


@pytest.fixture
def run_script():
    """Runs a script from another folder, as a user might; gives the finished process."""

    def run(name, *arguments, **environment):
        return subprocess.run(
            [sys.executable, SCRIPTS / name, *map(str, arguments)],
            cwd="/",
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    return run
