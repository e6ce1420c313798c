"""Kinds of networks: each learns a picture by heart, and its file comes back, merges, and says what it is."""

import math

import pytest
import torch
from torch import nn

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.models.adaptable import Layer
from sd_scripts.library.networks.adapter import Dropouts, FrozenDownAdapter, NestedAdapter
from sd_scripts.library.networks.oft import OftAdapter, Turning
from sd_scripts.library.networks.plan import Size
from tests.networks.test_adapter import LAYERS
from tests.networks.test_files import answers
from tests.networks.tiny import make_network_trainer, saved, train_network
from tests.train.tiny import tiny_data, tiny_family
from tests.train.tiny_sdxl import tiny_sdxl

KINDS = {
    "networks.lora_fa": {"network_dim": 8, "network_alpha": 8, "network_args": ["conv_dim=8", "conv_alpha=8"], "learning_rate": 3e-2},
    "networks.dylora": {"network_dim": 8, "network_alpha": 8, "network_args": ["conv_dim=8", "unit=4"], "learning_rate": 1e-2},
    "networks.oft": {"network_alpha": 1e-1, "network_args": ["enable_all_linear=True", "enable_conv=True"], "learning_rate": 2e-2},
}
BY_HEART = {"max_train_steps": 24, "min_timestep": 900, "max_timestep": 901}


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_picture_by_heart_and_its_file_comes_back(kind, tmp_path):
    plain = tiny_family()
    trainer, recorder = train_network(tmp_path, data=tiny_data(1), network_module=kind, **KINDS[kind], **BY_HEART)
    first, last = recorder.losses[0], sum(recorder.losses[-8:]) / 8
    print(kind, first, last)
    assert first > 0.9 and last < 0.8, (first, last)
    trainer.method.network.eval()
    file = str(tmp_path / "out" / "X.safetensors")
    merged, _ = make_network_trainer(tmp_path, network_module=kind, base_weights=[file])
    merged.method.prepare(merged.family, 1)
    again, _ = make_network_trainer(tmp_path, network_module=kind, network_weights=file, dim_from_weights=True)
    again.method.prepare(again.family, 1)
    again.method.network.eval()
    tokens_BL = torch.tensor([[49406, 320, 736, 2368] + [49407] * 73])
    before = answers(plain.unet, plain.text_encoder, tokens_BL)
    ours = answers(trainer.family.unet, trainer.family.text_encoder, tokens_BL)
    assert (ours[1] - before[1]).norm() > 0.01 * before[1].norm()
    for other in (merged.family, again.family):
        for own, theirs in zip(ours, answers(other.unet, other.text_encoder, tokens_BL), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-3)
