"""Training a network on the one loop: resumed, continued, merged, in parts, in less memory."""

from dataclasses import replace

import pytest
import torch

from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.errors import BadFile, BadOption, TrainingFailed
from tests.networks.tiny import make_network_trainer, saved, train_network
from tests.train.tiny import tiny_data, tiny_family, weights

DROPPED = ["conv_dim=2", "rank_dropout=0.2", "module_dropout=0.2"]
TEN = {
    "max_train_steps": 10,
    "train_batch_size": 2,
    "lr_scheduler": "cosine",
    "network_dropout": 0.1,
    "network_args": DROPPED,
    "save_state": True,
}


def test_ten_steps_are_five_and_five_bit_for_bit(tmp_path):
    _, whole = train_network(tmp_path, data=tiny_data(5), **TEN, save_every_n_steps=5)
    ends = saved(tmp_path)
    state = tmp_path / "out" / "X-step00000005-state"
    _, resumed = train_network(tmp_path, data=tiny_data(5), **TEN, resume=str(state))
    assert resumed.losses == whole.losses[5:] and len(whole.losses) == 10
    again = saved(tmp_path)
    assert set(ends) == set(again) and all(torch.equal(ends[name], again[name]) for name in ends)
    for values, sentence in (
        ({"network_dim": 8}, "is of another model or network"),
        (
            {"network_train_text_encoder_only": True, "network_args": None},
            "it has unet.safetensors too, and what was learnt",
        ),
    ):
        with pytest.raises(BadOption, match=sentence):
            train_network(tmp_path, data=tiny_data(5), **TEN | values, resume=str(state))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a network of both parts, and the trainer that made it."""
    folder = tmp_path_factory.mktemp("trained")
    trainer, recorder = train_network(folder, network_args=["conv_dim=2"], learning_rate=1e-2)
    return folder, trainer, recorder


def prediction(family, seed=0):
    """What a model says of some noise and a text."""
    generator = torch.Generator().manual_seed(seed)
    from sd_scripts.library.models.family import TextSettings

    tokens = family.tokenize(["a red cat"], TextSettings())
    with torch.no_grad():
        conditions = family.encode_text(tokens, TextSettings())
        noisy_BCHW = torch.randn(1, 4, 8, 8, generator=generator)
        return family.predict(noisy_BCHW, torch.tensor([500]), conditions)


def test_the_base_model_stays_and_the_network_moves(trained):
    folder, trainer, recorder = trained
    base = tiny_family()
    for part in ("unet", "text_encoder"):
        kept = weights(getattr(base, part))
        assert all(torch.equal(kept[name], tensor) for name, tensor in weights(getattr(trainer.family, part)).items())
    tensors = saved(folder)
    still = [name for name, tensor in tensors.items() if "lora_up" in name and not tensor.any()]
    # The middle of a picture of 64 px is one place, which can but attend to itself.
    one_place = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_{}.lora_up.weight"
    assert sorted(still) == [one_place.format("k"), one_place.format("q")]
    assert "The network adapts 277 layers of the U-Net, 18 layers of the text encoder." in recorder.said
    assert "Moved since the start, by a sample of the weights: unet by" in recorder.said
    assert not torch.allclose(prediction(base), prediction(trainer.family), atol=1e-4)


def test_merged_is_base_and_network(trained, tmp_path):
    folder, trainer, _ = trained
    file = str(folder / "out" / "X.safetensors")
    merged, recorder = make_network_trainer(
        tmp_path, base_weights=[file, file], base_weights_multiplier=[0.75, 0.25], network_args=["conv_dim=2"]
    )
    merged.method.prepare(merged.family, 1)
    trainer.method.network.eval()
    torch.testing.assert_close(prediction(merged.family), prediction(trainer.family), rtol=1e-4, atol=1e-4)
    assert f"Merged {file} into the base model, times 0.75." in recorder.said


def test_a_network_goes_on_from_its_file(trained, tmp_path):
    folder, trainer, _ = trained
    file = str(folder / "out" / "X.safetensors")
    for values in ({"network_args": ["conv_dim=2"]}, {"dim_from_weights": True}):
        again, recorder = make_network_trainer(tmp_path, network_weights=file, **values)
        again.method.prepare(again.family, 1)
        assert f"Going on from {file}." in recorder.said and not recorder.of("notice")
        own = again.method.network.state_dict()
        assert all(torch.equal(tensor, own[name]) for name, tensor in saved(folder).items())
    with pytest.raises(BadFile, match="has rank 4 in .*, and this network 8: take the file's ranks with --dim_from"):
        train_network(tmp_path, network_weights=file, network_dim=8)
    other = {"network_alpha": 2, "network_train_unet_only": True}
    again, recorder = make_network_trainer(tmp_path, network_weights=file, **other)
    again.method.prepare(again.family, 1)
    assert "layers that are not adapted now, such as lora_te_text_model" in recorder.said
    assert "was trained with another alpha: its own stays" in recorder.said


def at_strengths(*strengths):
    """Tiny data of as many subsets as there are strengths, each of one picture."""
    data = tiny_data(len(strengths))
    (dataset,) = data.datasets
    subsets = tuple(replace(dataset.subsets[0], strength=strength) for strength in strengths)
    data.datasets = [replace(dataset, subsets=subsets, batch_size=2)]
    data.pictures = [replace(one, subset=subset) for one, subset in zip(data.pictures, subsets, strict=True)]
    return data


def test_pictures_are_learnt_at_their_networks_strength(trained, tmp_path):
    folder, _, _ = trained
    file = {"network_weights": str(folder / "out" / "X.safetensors"), "dim_from_weights": True, "as_asked": False}
    file |= {"max_train_steps": 1, "stop_text_encoder_training": 5}
    _, bare = train_network(tmp_path, data=at_strengths(1.0), as_asked=False, max_train_steps=1)
    _, none = train_network(tmp_path, data=at_strengths(0.0), **file)
    _, full = train_network(tmp_path, data=at_strengths(1.0), **file)
    trainer, half = train_network(tmp_path, data=at_strengths(0.5), **file)
    assert none.losses == bare.losses and len({bare.losses[0], half.losses[0], full.losses[0]}) == 3
    # Samples and files are those of the whole network.
    assert {adapter.multiplier for adapter in trainer.method.network.unet_loras} == {1.0}


def test_a_batch_has_one_strength():
    data = at_strengths(1.0, 0.5, 0.5, 1.0)
    batches = [{data.pictures[item.image].subset.strength for item in batch} for batch in data.plan(0, 1)]
    assert sorted(map(sorted, batches)) == [[0.5], [1.0]]


def test_parts_alone(tmp_path):
    for values, prefix, group in (
        ({"network_train_unet_only": True}, "lora_unet_", "lr/unet"),
        ({"text_encoder_lr": [0.0], "unet_lr": 1e-4}, "lora_unet_", "lr/unet"),
        ({"network_train_text_encoder_only": True}, "lora_te_", "lr/text_encoder"),
    ):
        _, recorder = train_network(tmp_path, max_train_steps=1, **values)
        assert all(name.startswith(prefix) for name in saved(tmp_path))
        told = recorder.of("metric")[0].values
        assert [name for name in told if name.startswith("lr/")] == [group]


def test_each_part_and_matrix_has_its_rate(tmp_path):
    asked = ["loraplus_unet_lr_ratio=4", "down_lr_weight=zeros", "up_lr_weight=linear+1"]
    _, recorder = train_network(
        tmp_path, max_train_steps=1, unet_lr=1e-3, text_encoder_lr=[2e-3], learning_rate=9.0, network_args=asked
    )
    rates = {name: rate for name, rate in recorder.of("metric")[0].values.items() if name.startswith("lr/")}
    assert rates["lr/text_encoder"] == 2e-3
    assert rates["lr/unet_block12"] == 1e-3 and rates["lr/unet_block12_plus"] == 4e-3
    assert rates["lr/unet_block24"] == pytest.approx(2e-3) and "lr/unet_block4" not in rates


def test_recomputing_changes_nothing(tmp_path):
    plain = train_network(tmp_path, network_dropout=0.2)[1].losses
    for values in ({}, {"cpu_offload_checkpointing": True}):
        _, recorder = train_network(tmp_path, network_dropout=0.2, gradient_checkpointing=True, **values)
        assert recorder.losses == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "unet", "text", "network"),
    [
        ({}, torch.float32, torch.float32, torch.float32),
        ({"mixed_precision": "bf16"}, torch.bfloat16, torch.bfloat16, torch.float32),
        ({"mixed_precision": "bf16", "full_bf16": True}, torch.bfloat16, torch.bfloat16, torch.bfloat16),
        ({"mixed_precision": "bf16", "fp8_base_unet": True}, torch.float8_e4m3fn, torch.bfloat16, torch.float32),
        ({"mixed_precision": "bf16", "fp8_base": True}, torch.float8_e4m3fn, torch.float8_e4m3fn, torch.float32),
    ],
)
def test_the_base_is_held_in_what_is_computed_in(values, unet, text, network, tmp_path):
    trainer, recorder = train_network(tmp_path, network_args=["dora_wd=True"], **values)
    assert trainer.family.unet.mid_block.attentions[0].proj_in.weight.dtype is unet
    inner = getattr(trainer.family.text_encoder, "text_model", trainer.family.text_encoder)
    assert inner.encoder.layers[0].mlp.fc1.weight.dtype is text
    assert {tensor.dtype for tensor in saved(tmp_path).values()} == {network}
    assert len(recorder.losses) == 3


def test_large_changes_are_scaled_down(tmp_path):
    trainer, recorder = train_network(tmp_path, learning_rate=1e-2, scale_weight_norms=0.02, logging_dir=str(tmp_path))
    told = recorder.of("metric")[-1].values
    assert told["max_norm/max_key_norm"] == pytest.approx(0.02) and told["max_norm/keys_scaled"] > 10
    assert 0 < told["max_norm/avg_key_norm"] <= 0.02
    network = trainer.method.network
    norms = [float(adapter.norm()) for adapter in (*network.unet_loras, *network.text_encoder_loras)]
    assert max(norms) == pytest.approx(0.02, rel=1e-4)


def test_an_inert_network_is_an_error(tmp_path):
    with pytest.raises(BadOption, match="nothing of the model is adapted"):
        nothing = ["block_dims=" + ",".join(["0"] * 25)]
        train_network(tmp_path, network_args=nothing, network_train_unet_only=True)
    with pytest.raises(TrainingFailed, match="Nothing is learnt: in the unet and text encoder no weight has changed"):
        train_network(tmp_path, learning_rate=1e-60, save_every_n_steps=1)
    # During the warm-up nothing can move yet.
    _, recorder = train_network(tmp_path, lr_warmup_steps=2, save_every_n_steps=1)
    assert "Moved since the start" in recorder.said


def test_begun_without_a_state(tmp_path):
    given = {"max_train_steps": 8, "lr_scheduler": "linear", "learning_rate": 1e-3}
    _, whole = train_network(tmp_path, **given)
    _, late = train_network(tmp_path, **given, initial_step=6, skip_until_initial_step=True)
    assert [event.step for event in late.of("metric")] == [7, 8]
    assert [event.values["lr"] for event in late.of("metric")] == pytest.approx([1e-3, 5e-4])
    _, epoch = train_network(tmp_path, **given, initial_step=6)
    _, same = train_network(tmp_path, **given, initial_epoch=2)
    assert [event.step for event in epoch.of("metric")] == [5, 6, 7, 8] and epoch.losses == same.losses
    # The first losses are those of the same pictures and noise; nothing is learnt there yet, here a little.
    assert late.losses[0] == pytest.approx(whole.losses[6], rel=0.05)
    with pytest.raises(BadOption, match="--initial_epoch 3: training ends at step 8, in epoch 2"):
        train_network(tmp_path, **given, initial_epoch=3)


def test_one_picture_is_learnt_by_heart(tmp_path):
    given = {"max_train_steps": 60, "learning_rate": 1e-2, "network_dim": 16, "network_alpha": 16}
    given |= {"network_args": ["conv_dim=16", "conv_alpha=16"], "min_timestep": 900, "max_timestep": 901}
    _, recorder = train_network(tmp_path, data=tiny_data(1), **given)
    first, last = sum(recorder.losses[:3]) / 3, sum(recorder.losses[-10:]) / 10
    assert first > 0.9 and last < 0.4, (first, last)


def test_samples_are_drawn_without_dropout(tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat --w 64 --h 64 --s 2 --d 1\n")
    given = {"sample_prompts": str(tmp_path / "prompts.txt"), "sample_every_n_steps": 3, "network_dropout": 0.5}
    trainer, _ = train_network(tmp_path, learning_rate=1e-2, **given)
    trainer.outputs.draw("again", trainer.place)
    drawn = [path.read_bytes() for path in sorted((tmp_path / "out" / "sample").glob("*.png"))]
    assert len(drawn) == 2 and drawn[0] == drawn[1]
    assert trainer.method.network.training


def test_pictures_held_out_are_looked_at_with_their_own_strength(tmp_path):
    """At strength 0 the network says nothing, so what it learns changes no look."""
    looks = {}
    for strength in (1.0, 0.0):
        data = tiny_data(4, latents=False)
        held_out = [replace(picture, subset=replace(picture.subset, strength=strength)) for picture in data.pictures]
        divided = PictureData(data.datasets, data.pictures, held_out=PictureData(data.datasets, held_out))
        _, recorder = train_network(
            tmp_path, data=divided, as_asked=False, max_train_steps=2, learning_rate=0.1, validate_every_n_steps=1,
            network_train_unet_only=True,
        )  # fmt: skip
        looks[strength] = [event.loss for event in recorder.of("validation")]
    assert looks[0.0][0] == looks[0.0][1]
    assert looks[1.0][0] != looks[1.0][1]


def test_what_has_not_moved_yet_is_not_shrunk_to_nothing(tmp_path):
    """A warm-up begins at a rate of 0, after which each change still has norm 0."""
    trainer, _ = make_network_trainer(tmp_path, scale_weight_norms=1.0)
    trainer.method.prepare(trainer.family, 0)
    before = {name: tensor.clone() for name, tensor in trainer.method.network.state_dict().items()}
    scaled, mean, largest = trainer.method.after_step().values()
    assert (int(scaled), float(mean), float(largest)) == (0, 0.0, 0.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.method.network.state_dict().items())
    assert any("lora_down" in name and tensor.any() for name, tensor in before.items())
