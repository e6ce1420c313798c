"""LyCORIS's networks: each algorithm learns, and its file comes back and merges; what is wrong is said."""

import pytest
import torch

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.networks.lycoris_arguments import unused
from tests.networks.test_files import answers
from tests.networks.tiny import make_network_trainer, saved, train_network
from tests.train.tiny import tiny_data, tiny_family

LYCORIS = "lycoris.kohya"
ALGOS = {
    "locon": (["conv_dim=2", "dora_wd=True", "train_norm=True"], "dora_scale"),
    "loha": (["use_tucker=True"], "hada_w1_a"),
    "lokr": (["factor=4", "decompose_both=False"], "lokr_w1"),
    "ia3": (["preset=ia3"], "on_input"),
    "full": (["preset=attn-only"], "diff"),
    "dylora": (["block_size=2", "preset=attn-mlp"], "lora_up.weight"),
    "diag-oft": (["constraint=0.1", "preset=attn-mlp"], "oft_blocks"),
    "boft": (["rescaled=True", "preset=attn-only"], "rescale"),
    "glora": (["preset=attn-mlp"], "a1.weight"),
}
TOKENS_BL = torch.tensor([[49406, 320, 736, 2368] + [49407] * 73])


@pytest.mark.parametrize("algo", ALGOS)
def test_an_algorithm_learns_and_its_file_comes_back(algo, tmp_path):
    given, tensor = ALGOS[algo]
    asked = {"network_module": LYCORIS, "network_args": [f"algo={algo}", *given], "network_dim": 4}
    trainer, recorder = train_network(tmp_path, data=tiny_data(2), max_train_steps=2, learning_rate=1e-2, **asked)
    assert "Moved since the start" in recorder.said
    tensors = saved(tmp_path)
    assert any(name.endswith(f".{tensor}") for name in tensors)
    names = {name.split(".")[0] for name in tensors}
    assert any(name.startswith("lora_te_text_model_encoder_layers_0_") for name in names)
    trainer.method.network.eval()
    ours = answers(trainer.family.unet, trainer.family.text_encoder, TOKENS_BL)
    plain = tiny_family()
    before = answers(plain.unet, plain.text_encoder, TOKENS_BL)
    assert all((own - other).norm() > 1e-4 * other.norm() for own, other in zip(ours, before, strict=True))
    file = str(tmp_path / "out" / "X.safetensors")
    ways = {"base_weights": [file]}, {"network_weights": file}, {"network_weights": file, "dim_from_weights": True}
    for way in ways:
        again, told = make_network_trainer(tmp_path, **asked, **way)
        again.method.prepare(again.family, 1)
        again.method.network.eval()
        assert "begin anew" not in told.said and "left out" not in told.said
        for own, theirs in zip(ours, answers(again.family.unet, again.family.text_encoder, TOKENS_BL), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-3, msg=lambda text, way=way: f"{way}: {text}")
