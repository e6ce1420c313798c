"""Tokens, long texts and clip_skip against references that are built by hand from formats.md."""

import hashlib
from pathlib import Path

import pytest
import torch

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models import clip_tokenizer as clip_tokenizer_module
from sd_scripts.library.models.clip_tokenizer import clip_tokenizer, to_chunks
from sd_scripts.library.models.clip_vocabulary import vocabulary_and_merges
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.models.sd import load

BEGIN, END = 49406, 49407
CAT = [320, 1125, 539, 320, 2368]
WORD = 2368
"""The token of "cat"."""


def test_the_bundled_vocabulary():
    file = Path(clip_tokenizer_module.__file__).parent / "data" / "clip_vocabulary.txt.gz"
    expected = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == expected
    assert "Permission is hereby granted" in file.with_name("clip_vocabulary.LICENSE").read_text(encoding="utf-8")
    vocabulary, merges = vocabulary_and_merges()
    assert len(vocabulary) == 49408
    assert (len(merges), merges[0]) == (48894, ("i", "n"))
    assert (vocabulary["!"], vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]) == (0, BEGIN, END)
    assert clip_tokenizer("<|endoftext|>")("a photo of a cat").input_ids == [BEGIN, *CAT, END]


def test_tokens_of_a_short_text(sd1, sd2):
    for family, pad in ((sd1, END), (sd2, 0)):
        tokens = family.tokenize(["a photo of a cat", ""], TextSettings())["tokens_BL"]
        assert tokens.tolist() == [[BEGIN, *CAT, END, *[pad] * 70], [BEGIN, END, *[pad] * 75]]


@pytest.mark.parametrize("max_tokens", [75, 150, 225])
def test_long_texts_are_cut_and_counted(sd1, max_tokens):
    text = "cat " * 230
    assert sd1.tokenize([text], TextSettings(max_tokens=max_tokens))["tokens_BL"].tolist() == [
        [BEGIN, *[WORD] * max_tokens, END]
    ]
    assert sd1.token_count(text) == 230
    assert sd1.token_count("a photo of a cat") == 5


def test_chunks_of_sd1(sd1):
    tokens = sd1.tokenize(["cat " * 80], TextSettings(max_tokens=150))["tokens_BL"]
    expected = [[BEGIN, *[WORD] * 75, END], [BEGIN, *[WORD] * 5, *[END] * 71]]
    assert to_chunks(tokens, END, END).tolist() == [expected]


def test_chunks_of_sd2_full_partly_filled_and_empty(sd2):
    tokens = sd2.tokenize(["cat " * 80], TextSettings(max_tokens=225))["tokens_BL"]
    expected = [
        [BEGIN, *[WORD] * 75, END],  # Its last-but-one id is text, so it ends in the end token, not in padding.
        [BEGIN, *[WORD] * 5, END, *[0] * 70],
        [BEGIN, END, *[0] * 75],  # Empty: begin, end, padding.
    ]
    assert to_chunks(tokens, END, 0).tolist() == [expected]


def test_chunks_of_sd2_that_end_exactly_at_the_edge(sd2):
    tokens = sd2.tokenize(["cat " * 75], TextSettings(max_tokens=150))["tokens_BL"]
    assert to_chunks(tokens, END, 0).tolist() == [[[BEGIN, *[WORD] * 75, END], [BEGIN, END, *[0] * 75]]]
    tokens = sd2.tokenize(["cat " * 150], TextSettings(max_tokens=150))["tokens_BL"]
    assert to_chunks(tokens, END, 0).tolist() == [[[BEGIN, *[WORD] * 75, END]] * 2]


@pytest.mark.parametrize("max_tokens", [150, 225])
@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_long_texts_are_encoded_chunk_by_chunk(name, max_tokens, request):
    family = request.getfixturevalue(name)
    pad = {"sd1": END, "sd2": 0}[name]
    settings = TextSettings(max_tokens=max_tokens)
    text = "a photo of a cat, " * 20  # 120 tokens: one full chunk, one of 45, and for 225 an empty one.
    ids = [320, 1125, 539, 320, 2368, 267] * 20
    wrapped = [[BEGIN, *ids[:75], END], [BEGIN, *ids[75:], END, *[pad] * 30], [BEGIN, END, *[pad] * 75]][
        : max_tokens // 75
    ]
    with torch.no_grad():
        hidden = family.encode_text(family.tokenize([text], settings), settings)["hidden_BLD"]
        alone = [family.text_encoder(torch.tensor([chunk])).last_hidden_state[0] for chunk in wrapped]
    expected = torch.cat([alone[0][:1], *(chunk[1:76] for chunk in alone), alone[-1][-1:]])
    assert hidden.shape == (1, max_tokens + 2, 16)
    torch.testing.assert_close(hidden[0], expected, atol=1e-6, rtol=0)


def test_batches_are_encoded_as_single_texts_are(sd2):
    settings = TextSettings(max_tokens=150)
    with torch.no_grad():
        both = sd2.encode_text(sd2.tokenize(["cat", "dog " * 100], settings), settings)["hidden_BLD"]
        for index, text in enumerate(["cat", "dog " * 100]):
            one = sd2.encode_text(sd2.tokenize([text], settings), settings)["hidden_BLD"]
            torch.testing.assert_close(both[index], one[0], atol=1e-6, rtol=0)


def by_hand(text_encoder, tokens, layers):
    """The first `layers` layers and the final norm, called one by one."""
    hidden = text_encoder.embeddings(input_ids=tokens)
    length = tokens.shape[1]
    mask = torch.full((length, length), float("-inf")).triu(1)[None, None]
    for layer in text_encoder.encoder.layers[:layers]:
        hidden = layer(hidden, attention_mask=mask)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    return text_encoder.final_layer_norm(hidden)


@pytest.mark.parametrize(("clip_skip", "layers"), [(None, 3), (1, 3), (2, 2), (3, 1)])
def test_clip_skip_leaves_out_the_last_layers(sd1, clip_skip, layers):
    settings = TextSettings(clip_skip=clip_skip)
    tokens = sd1.tokenize(["a photo of a cat"], settings)
    with torch.no_grad():
        expected = by_hand(sd1.text_encoder, tokens["tokens_BL"], layers)
        found = sd1.encode_text(tokens, settings)["hidden_BLD"]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_more_layers_than_there_are_cannot_be_skipped(sd1):
    tokens = sd1.tokenize(["a photo of a cat"], TextSettings())
    with pytest.raises(BadOption, match="clip_skip 4 is more than the 3 layers of the text encoder."):
        sd1.encode_text(tokens, TextSettings(clip_skip=4))


def test_sd2_reads_its_last_but_one_layer_by_itself(sd2):
    assert sd2.text_encoder.config.num_hidden_layers == 2, "the file has three blocks"
    tokens = sd2.tokenize(["a photo of a cat"], TextSettings())
    with torch.no_grad():
        expected = by_hand(sd2.text_encoder, tokens["tokens_BL"], 2)
        found = sd2.encode_text(tokens, TextSettings())["hidden_BLD"]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    with pytest.raises(BadOption, match="clip_skip does not go with v2"):
        sd2.encode_text(tokens, TextSettings(clip_skip=2))


def test_gradients_reach_the_text_encoder(models):
    family = load(str(models / "sd1.safetensors"))
    family.use_gradient_checkpointing()
    family.text_encoder.train()
    settings = TextSettings(clip_skip=2)
    hidden = family.encode_text(family.tokenize(["a cat"], settings), settings)["hidden_BLD"]
    hidden.square().sum().backward()
    grads = {name: p.grad for name, p in family.text_encoder.named_parameters()}
    assert grads["encoder.layers.1.mlp.fc1.weight"].abs().sum() > 0
    assert grads["encoder.layers.2.mlp.fc1.weight"] is None or grads["encoder.layers.2.mlp.fc1.weight"].abs().sum() == 0
