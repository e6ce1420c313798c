"""Models by hub id, against a hub on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sd_scripts.library.errors import BadFile
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.sd import load
from sd_scripts.library.models.vae import load_vae
from tests.hub import Hub, files_of, serving


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as hub:
        hub.lead_here(monkeypatch, tmp_path / "cache")
        yield hub


def test_a_model_is_fetched_once_and_only_what_is_needed(models: Path, hub: Hub):
    hub.serve("me/tiny", files_of(models / "sd1_folder"))
    found = load("me/tiny")
    assert found.source_format == "diffusers_safetensors"
    local = load(str(models / "sd1_folder"))
    for name, tensor in local.unet.state_dict().items():
        assert torch.equal(tensor, found.unet.state_dict()[name])
    assert found.tokenizers[0]("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    served = len(hub.downloads())
    load("me/tiny")
    assert len(hub.downloads()) == served > 0


def test_of_a_model_only_the_vae_or_a_vae_by_itself(models: Path, hub: Hub):
    hub.serve("me/tiny", files_of(models / "sd1_folder"))
    hub.serve("me/vae", files_of(models / "sd1_folder" / "vae"))
    expected = load_vae(str(models / "sd1_folder")).hash
    assert load_vae("me/tiny").hash == expected
    assert not any(name.startswith(("unet/diff", "text_encoder/")) for name in hub.downloads())
    assert load_vae("me/vae").hash == expected


def test_what_the_hub_does_not_have(hub: Hub):
    with pytest.raises(BadFile, match="me/nothing: there is no such file or folder here, and no such model on the hub"):
        model_path("me/nothing")
    hub.serve("me/text", {"README.md": b"no model"})
    with pytest.raises(BadFile, match="me/text on the hub holds no diffusers model"):
        model_path("me/text")
