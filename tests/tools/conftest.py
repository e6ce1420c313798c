"""Tiny models, made once, and a way to run a tool's work on options."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sd_scripts.library.example.sd_models import make_sd1, make_sd2, make_sdxl
from sd_scripts.library.report import Report
from sd_scripts.options.spec import from_values


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sd1.safetensors, sd2.safetensors in fp16, and sdxl.safetensors."""
    folder = tmp_path_factory.mktemp("models")
    make_sd1(folder / "sd1.safetensors")
    make_sd2(folder / "sd2.safetensors", dtype=torch.float16)
    make_sdxl(folder / "sdxl.safetensors")
    return folder


def ran(work: Callable[[Any, Report], None], options: type, **values: Any) -> Report:
    """The report of a tool's work; `said` of it is what the terminal shows."""
    out = io.StringIO()
    report = Report(out=out)
    try:
        work(from_values(options, values), report)
    finally:
        report.said = out.getvalue()  # type: ignore[attr-defined]
    return report


def picture(path: Path, size: tuple[int, int] = (64, 48), mode: str = "RGB", seed: int = 0) -> Path:
    """Writes a picture of coarse noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(mode)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, channels), dtype=np.uint8)
    Image.fromarray(coarse).resize(size).save(path)
    return path


def listed(folder: Path) -> list[str]:
    """The files below a folder, as paths within it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
