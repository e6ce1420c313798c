"""Weights within texts: reading them, and what they do to the text encoder's output."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sd_scripts.library.models.clip_tokenizer import clip_tokenizer, count_weighted_tokens
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.models.prompt_weights import weigh, weighted_pieces
from sd_scripts.library.models.sd import load

BEGIN, END, RED, CAT = 49406, 49407, 736, 2368


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a red cat", [("a red cat", 1.0)]),
        ("", []),
        ("a (red) cat", [("a ", 1.0), ("red", 1.1), (" cat", 1.0)]),
        ("a (red:1.3) cat", [("a ", 1.0), ("red", 1.3), (" cat", 1.0)]),
        ("(a:.5)(b:2.)(c:-1)", [("a", 0.5), ("b", 2.0), ("c", -1.0)]),
        ("[less] ((more))", [("less", 1 / 1.1), (" ", 1.0), ("more", 1.1 * 1.1)]),
        ("(a (b:2) [c])", [("a ", 1.1), ("b", 2 * 1.1), (" ", 1.1), ("c", 1.0)]),
        ("(one)(two)", [("onetwo", 1.1)]),
        (r"\(a\) \[b\] \\ \c", [(r"(a) [b] \ c", 1.0)]),
        ("a) b] c:2) d:e", [("a) b] c:2) d:e", 1.0)]),
        ("a (b, c", [("a ", 1.0), ("b, c", 1.1)]),
        ("(a:1.2.3) [b:2]", [("a:1.2.3", 1.1), (" ", 1.0), ("b:2", 1 / 1.1)]),
        ("(猫:1.5)、犬", [("猫", 1.5), ("、犬", 1.0)]),
    ],
)
def test_weights_are_read(text, pieces):
    found = weighted_pieces(text)
    assert [piece.text for piece in found] == [text for text, _ in pieces]
    assert [piece.weight for piece in found] == pytest.approx([weight for _, weight in pieces])


@given(st.text())
def test_escaped_text_is_read_as_it_is(text):
    escaped = "".join("\\" + letter if letter in "()[]\\" else letter for letter in text)
    pieces = weighted_pieces(escaped)
    assert "".join(piece.text for piece in pieces) == text
    assert {piece.weight for piece in pieces} <= {1.0}


def test_every_token_has_the_weight_of_its_piece(sd1, sd2):
    for family, pad in ((sd1, END), (sd2, 0)):
        tokens, weights = family.tokenize(["(red red:1.5) cat", ""], TextSettings(), weighted=True).values()
        assert tokens.tolist() == [[BEGIN, RED, RED, CAT, END, *[pad] * 72], [BEGIN, END, *[pad] * 75]]
        assert weights.tolist() == [[1.0, 1.5, 1.5, *[1.0] * 74], [1.0] * 77]


def test_weights_are_cut_where_the_tokens_are(sd1):
    texts = ["cat " * 74 + "(red " * 90]
    tokens, weights = sd1.tokenize(texts, TextSettings(max_tokens=150), weighted=True).values()
    assert tokens.tolist() == [[BEGIN, *[CAT] * 74, *[RED] * 76, END]]
    assert weights[0, :75].tolist() == [1.0] * 75 and weights[0, -1] == 1.0
    # Each opened bracket multiplies what comes after it.
    assert weights[0, 75:151].tolist() == pytest.approx([1.1 ** (n + 1) for n in range(76)])


def test_tokens_are_counted_without_the_signs():
    count = partial(count_weighted_tokens, clip_tokenizer("<|endoftext|>"))
    assert [count(text) for text in ("a (red:1.3) [cat]", "a red cat", "")] == [3, 3, 0]


def test_positions_are_multiplied_and_the_mean_stays():
    hidden = torch.tensor([[[1.0, 3.0], [2.0, 2.0]], [[1.0, 1.0], [0.0, 2.0]]])
    weights = torch.tensor([[1.0, 2.0], [1.0, 1.0]])
    # The first text's mean is 2; its values become 1 3 4 4 with the mean 3, so all are multiplied by 2/3.
    expected = torch.tensor([[[2 / 3, 2.0], [8 / 3, 8 / 3]], [[1.0, 1.0], [0.0, 2.0]]])
    torch.testing.assert_close(weigh(hidden, weights), expected)


def test_a_mean_of_nothing_but_rounding_is_left_alone():
    hidden = torch.tensor([[[1.0, -1.0], [2.0, -2.0]]], requires_grad=True)
    weighed = weigh(hidden, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(weighed, torch.tensor([[[1.0, -1.0], [4.0, -4.0]]]))
    weighed.square().sum().backward()
    assert torch.isfinite(hidden.grad).all()


@pytest.mark.parametrize("max_tokens", [75, 150, 225])
@pytest.mark.parametrize("clip_skip", [None, 2])
def test_the_encoders_output_is_weighed_token_by_token(sd1, clip_skip, max_tokens):
    settings = TextSettings(clip_skip=clip_skip, max_tokens=max_tokens)
    texts = ["cat " * 60 + "(red:1.5) " * 30, "cat"]
    with torch.no_grad():
        plain_texts = ["cat " * 60 + "red " * 30, "cat"]
        plain = sd1.encode_text(sd1.tokenize(plain_texts, settings), settings)["hidden_BLD"]
        weighed = sd1.encode_text(sd1.tokenize(texts, settings, weighted=True), settings)["hidden_BLD"]
    assert plain.shape == weighed.shape == (2, max_tokens + 2, 16)
    torch.testing.assert_close(weighed[1], plain[1])
    end = min(91, max_tokens + 1)
    factors = torch.ones(max_tokens + 2)
    factors[61:end] = 1.5
    torch.testing.assert_close(weighed[0], weigh(plain[:1], factors[None])[0])
    ratio = weighed[0] / plain[0]
    torch.testing.assert_close(ratio[61:end].mean() / ratio[:61].mean(), torch.tensor(1.5))


def test_gradients_reach_the_text_encoder_through_weights(models):
    family = load(str(models / "sd1.safetensors"))
    grads = []
    for text in ("a (red:0) cat", "a (red:2) cat"):
        tokens = family.tokenize([text], TextSettings(), weighted=True)
        family.encode_text(tokens, TextSettings())["hidden_BLD"][0, 2].sum().backward()
        grads.append(family.text_encoder.get_parameter("final_layer_norm.bias").grad.clone())
        family.text_encoder.zero_grad()
    assert grads[0].abs().sum() == 0 and grads[1].abs().sum() > 0
