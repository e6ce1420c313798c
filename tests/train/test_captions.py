"""What captions come to in training: weights, dropouts and the warm-up."""

import pytest
import torch
from PIL import Image

from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.train.device import make_accelerator
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.fine_tune import FineTuneOptions
from tests.train.tiny import captioned, tiny_family, train


@pytest.mark.parametrize("text", [False, True])
def test_weights_in_captions_count_when_asked_for(tmp_path, text):
    def losses(caption, **values):
        return train(tmp_path, data=captioned(caption), text=text, max_train_steps=2, **values)[1].losses

    plain = losses("a red cat")
    weighted = losses("a (red:1.8) cat", weighted_captions=True)
    assert losses("a red cat", weighted_captions=True) == plain
    assert weighted != plain
    assert losses("a (red:1.8) cat") not in (plain, weighted), "without the option brackets are text"


def test_weights_with_long_captions_and_clip_skip(tmp_path):
    def losses(caption):
        values = {"max_token_length": 150, "clip_skip": 2, "weighted_captions": True, "max_train_steps": 1}
        return train(tmp_path, data=captioned(caption), text=True, **values)[1].losses

    assert losses("cat " * 90 + "(red:1.8)") != losses("cat " * 90 + "red")


def test_prompts_always_have_weights_and_captions_when_asked_for():
    family, accelerator = tiny_family(), make_accelerator(FineTuneOptions())

    def texts(weighted):
        return Texts(family, TextSettings(weighted=weighted), accelerator, trained=False, keep=False)

    prompt = ["a (red:1.8) cat"]
    weighed = texts(False).encode_prompts(prompt)["hidden_BLD"]
    assert torch.equal(weighed, texts(True).encode_prompts(prompt)["hidden_BLD"])
    assert torch.equal(weighed, texts(True).encode(prompt)["hidden_BLD"])
    assert not torch.equal(weighed, texts(False).encode(prompt)["hidden_BLD"])
    plain = texts(False).encode_prompts(["a red cat"]), texts(False).encode(["a red cat"])
    assert torch.equal(*(made["hidden_BLD"] for made in plain))


def test_samples_draw_weights(tmp_path):
    file = tmp_path / "prompts.txt"
    small = "--w 64 --h 64 --s 2 --d 5"
    file.write_text(f"a red cat {small}\na (red:1.9) cat {small}\n(a red cat) {small}\n", encoding="utf-8")
    train(tmp_path, sample_prompts=str(file), sample_at_first=True, max_train_steps=1)
    drawn = []
    for path in sorted((tmp_path / "out" / "sample").iterdir()):
        with Image.open(path) as image:
            drawn.append(image.tobytes())
    assert drawn[0] != drawn[1] != drawn[2]


def test_dropped_captions_are_trained_as_empty_ones(tmp_path):
    empty = train(tmp_path, data=captioned(""))[1].losses
    assert train(tmp_path, data=captioned("a cat"), caption_dropout_rate=1.0)[1].losses == empty
    assert train(tmp_path, data=captioned("a cat"), caption_dropout_every_n_epochs=2)[1].losses != empty


def test_a_resumed_warm_up_goes_on(tmp_path):
    rules = {"shuffle_caption": True, "keep_tokens": 1, "caption_tag_dropout_rate": 0.2}
    values = rules | {"train_batch_size": 2, "max_train_steps": 6, "save_every_n_steps": 3, "save_state": True}
    text, warm = "k, a, b, c, d, e, f, g", {"token_warmup_step": 0.8}
    _, whole = train(tmp_path, data=captioned(text), **values, **warm)
    state = tmp_path / "out" / "X-step00000003-state"
    _, resumed = train(tmp_path, data=captioned(text), **values, **warm, resume=str(state))
    assert resumed.losses == whole.losses[3:]
    _, cold = train(tmp_path, data=captioned(text), **values)
    assert cold.losses[0] != whole.losses[0]
