"""Tiny models, made once for all tests of this folder, and never changed by them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sd_scripts.library.example.sd_models import make_diffusers, make_sd1, make_sd2
from sd_scripts.library.models.sd import StableDiffusion, load


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> Iterator[None]:
    """For these tests alone: with another number of threads, sums of others would end in another digit."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sd1.safetensors, sd1.ckpt (float16), sd2.safetensors, sd2.ckpt, sd1_folder and sd2_v_folder."""
    folder = tmp_path_factory.mktemp("models")
    make_sd1(folder / "sd1.safetensors")
    make_sd1(folder / "sd1.ckpt", dtype=torch.float16)
    make_sd2(folder / "sd2.safetensors")
    make_sd2(folder / "sd2.ckpt", dtype=torch.float16)
    make_diffusers(folder / "sd1_folder")
    make_diffusers(folder / "sd2_v_folder", v2=True, v_prediction=True)
    return folder


@pytest.fixture(scope="module")
def sd1(models: Path) -> StableDiffusion:
    return load(str(models / "sd1.safetensors"))


@pytest.fixture(scope="module")
def sd2(models: Path) -> StableDiffusion:
    return load(str(models / "sd2.safetensors"), v2=True)
