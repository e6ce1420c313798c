"""What would run something where it is read carelessly runs nothing, whoever reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kohya_gui import found
from sd_scripts.library.data.latents_head import read_head
from sd_scripts.library.data.npz import BrokenLatents, read_arrays
from sd_scripts.library.errors import UserError
from sd_scripts.library.io.checkpoints import open_checkpoint, read_pickle
from sd_scripts.library.io.embeddings import read_embedding
from sd_scripts.library.io.fitting import check_embedding_file, check_hypernetwork_file, check_network_file
from sd_scripts.library.io.headers import model_facts, pickled_header, pickled_object
from sd_scripts.library.models.original import open_original
from sd_scripts.library.models.sd import load
from sd_scripts.library.models.vae import load_vae
from sd_scripts.library.networks.hypernetwork_file import load_hypernetwork
from sd_scripts.library.networks.stored import StoredNetwork
from tests.bad_input.evil import MARK, evil_npz, evil_pickles

READERS: dict[str, Callable[[Path], Any]] = {
    "checkpoint": open_checkpoint,
    "pickle": read_pickle,
    "header": pickled_header,
    "object": pickled_object,
    "facts": model_facts,
    "base model": lambda path: load(str(path)),
    "original model": lambda path: open_original(str(path)),
    "VAE": lambda path: load_vae(str(path)),
    "network": StoredNetwork,
    "network's check": lambda path: check_network_file(path, None),
    "embedding": read_embedding,
    "embedding's check": lambda path: check_embedding_file(path, None),
    "hypernetwork": load_hypernetwork,
    "hypernetwork's check": check_hypernetwork_file,
    "what the page says of a model": found.model_at,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What runs would make its file here."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_are_evil(here: Path) -> None:
    """Read carelessly, nearly all of them run: else the test below would prove nothing."""
    import contextlib
    import io
    import pickle

    import torch

    for name, content in evil_pickles().items():
        for read in (lambda file: torch.load(file, weights_only=False), pickle.load):
            with contextlib.suppress(Exception):
                read(io.BytesIO(content))
        assert (here / MARK).exists(), name
        (here / MARK).unlink()


@pytest.mark.parametrize("reader", READERS)
def test_pickles_run_nothing(reader: str, here: Path) -> None:
    for number, (name, content) in enumerate(evil_pickles().items()):
        for ending in (".ckpt", ".pt", ".bin"):
            path = here / f"{number}{ending}"
            path.write_bytes(content)
            try:
                READERS[reader](path)
            except UserError as error:
                assert str(path) in str(error)
            assert not (here / MARK).exists(), name


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_states_run_nothing(here: Path) -> None:
    from sd_scripts.library.train import state

    for name, content in evil_pickles().items():
        for part in ("optimizer.pt", "scheduler.pt", "scaler.pt"):
            (here / part).write_bytes(content)
            with pytest.raises((UserError, state._Unfit)):
                state._load(here / part)
            assert not (here / MARK).exists(), name


def test_arrays_run_nothing(here: Path) -> None:
    path = here / "a.npz"
    path.write_bytes(evil_npz(("arr_0", "latents", "vae_hash", "hidden_state1")))
    for read in (read_head, read_arrays):
        with pytest.raises(BrokenLatents):
            read(path)
        assert not (here / MARK).exists()
