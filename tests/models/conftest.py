"""Tiny models, made once for all tests of this folder, and never changed by them."""

from pathlib import Path

import pytest
import torch

from sd_scripts.library.example.sd_models import make_diffusers, make_sd1, make_sd2


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(2)


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
