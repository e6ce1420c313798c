"""DreamBooth: the whole model learns a subject, and captions may be as long as they are."""

import pytest
import torch
from PIL import Image

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.train.checks.data import check_data
from sd_scripts.library.train.checks.training import check_padding
from sd_scripts.library.train.checks.whole import check_whole
from tests.networks.tiny import network_options
from tests.train.tiny import TEXTS, tiny_data, tiny_family, weights
from tests.train.tiny_db import db_options, train_db


def test_one_picture_is_learnt_by_heart(tmp_path):
    given = {"max_train_steps": 25, "learning_rate": 3e-3, "min_timestep": 900, "max_timestep": 901}
    trainer, recorder = train_db(tmp_path, data=tiny_data(1), **given)
    assert sum(recorder.losses[-5:]) < 0.5 * sum(recorder.losses[:5])
    before = weights(tiny_family().text_encoder)
    assert any(not torch.equal(before[name], t) for name, t in weights(trainer.family.text_encoder).items())


def lengths(family):
    """A family that remembers how long the texts were that it encoded."""
    seen = []
    encode = family.encode_text
    family.encode_text = lambda tokens, s: (seen.append(tuple(tokens["tokens_BL"].shape)), encode(tokens, s))[1]
    return family, seen


@pytest.mark.parametrize("steps", [None, 0])
def test_captions_are_as_long_as_the_longest_of_their_batch(tmp_path, steps):
    family, seen = lengths(tiny_family())
    given = {"train_batch_size": 2, "max_train_steps": 1, "stop_text_encoder_training": steps}
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat --w 64 --h 64 --s 1\n", encoding="utf-8")
    sampling = {"sample_prompts": str(prompts), "sample_at_first": True}
    train_db(tmp_path, family, tiny_data(2), **given, **sampling, no_token_padding=True)
    # The prompt as its users will have it read, by encoders that never train text by text, to be kept; then "a red cat"
    # and "a blue dog, sitting" between begin and end.
    assert seen == [*([(1, 77), (1, 77)] if steps == 0 else [(2, 77)]), (2, 7)]


def test_padding_beyond_the_end_is_all_that_is_missing():
    """A text is read from left to right, so what it is without its padding is the beginning of what it is with it."""
    family = tiny_family()
    settings = TextSettings(padded=False)
    for text, weighted in ((TEXTS[1], False), ("a (blue:1.3) dog", True)):
        short = family.encode_text(family.tokenize([text], settings, weighted), settings)["hidden_BLD"]
        whole = family.encode_text(family.tokenize([text], TextSettings(), weighted), TextSettings())["hidden_BLD"]
        assert short.shape[1] < 10
        if not weighted:
            torch.testing.assert_close(short, whole[:, : short.shape[1]], rtol=1e-4, atol=1e-5)


def test_a_networks_strength_is_for_networks(tmp_path):
    (tmp_path / "dogs").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "dogs" / "a.png")
    config = tmp_path / "data.toml"
    keys = "resolution = 64\nnetwork_multiplier = 0.5"
    config.write_text(f'[[datasets]]\n{keys}\n[[datasets.subsets]]\nimage_dir = "{(tmp_path / "dogs").as_posix()}"\n')
    with pytest.raises(BadOption, match="data.toml, dataset 1, subset 1: network_multiplier is for networks"):
        check_data(db_options(tmp_path, dataset_config=str(config)))
    check_data(network_options(tmp_path, dataset_config=str(config)))


def test_what_does_not_go_together(tmp_path):
    for values, sentence in (
        ({"no_token_padding": True, "max_token_length": 150}, "for captions of 75 tokens at most"),
        ({"no_token_padding": True, "cache_text_encoder_outputs": True}, "would be of many lengths"),
    ):
        given = db_options(tmp_path, **values)
        with pytest.raises(BadOption, match=sentence):
            check_padding(given.text, given.text_cache)
    with pytest.raises(BadOption, match="needs --stop_text_encoder_training 0: what a text encoder makes"):
        check_whole(db_options(tmp_path, cache_text_encoder_outputs=True))
    check_whole(db_options(tmp_path, cache_text_encoder_outputs=True, stop_text_encoder_training=0))
    with pytest.raises(BadOption, match="every part of the model is trained"):
        check_whole(db_options(tmp_path, fp8_base=True, mixed_precision="bf16"))
