"""BLIP's attention without waste: what is seen of a picture is turned into keys and values once, for all its sentences.

transformers repeats what the picture's part gives for every sentence that beam search follows, makes keys and values
of each copy, and copies these again after every word. The results are the same but for rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class SeenOnce(nn.Module):
    """Takes the place of a text layer's look at the picture; it has the same weights, under the same names."""

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self.query, self.key, self.value = theirs.query, theirs.key, theirs.value
        self._heads = theirs.num_attention_heads
        self._keys_BHLD = self._values_BHLD = torch.empty(0)

    def look(self, seen_BLD: Tensor) -> None:
        """From now on the sentences are about these pictures."""
        self._keys_BHLD, self._values_BHLD = self._split(self.key(seen_BLD)), self._split(self.value(seen_BLD))

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """(N,T,D) of N sentences, as many for each picture, those of a picture one after the other."""
        pictures = len(self._keys_BHLD)
        # The sentences of a picture are one long sequence of questions to it.
        questions = self.query(hidden_states).reshape(pictures, -1, self.query.out_features)
        answers = scaled_dot_product_attention(self._split(questions), self._keys_BHLD, self._values_BHLD)
        return answers.transpose(1, 2).reshape(*hidden_states.shape[:-1], -1), None

    def _split(self, hidden_BLD: Tensor) -> Tensor:
        return hidden_BLD.unflatten(-1, (self._heads, -1)).transpose(1, 2)


class Fused(nn.Module):
    """Takes the place of a picture layer's attention; it has the same weights, under the same names."""

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self.qkv, self.projection = theirs.qkv, theirs.projection
        self._heads = theirs.num_heads

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """(N,L,D) to the same."""
        query, key, value = self.qkv(hidden_states).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        answers = scaled_dot_product_attention(query, key, value)
        return self.projection(answers.transpose(1, 2).flatten(2)), None


def without_waste(model: Any) -> None:
    """Gives a BLIP model these attentions."""
    for layer in model.vision_model.encoder.layers:
        layer.self_attn = Fused(layer.self_attn)
    for layer in _text_layers(model):
        layer.crossattention.self = SeenOnce(layer.crossattention.self)


def look(model: Any, pixels_BCHW: Tensor) -> Tensor:
    """Shows pictures to a model of `without_waste`; gives what the words' part wants to be told of them."""
    seen_BLD = model.vision_model(pixel_values=pixels_BCHW)[0]
    for layer in _text_layers(model):
        layer.crossattention.self.look(seen_BLD)
    # It only has to be there: a row of it, since it is repeated for every sentence.
    return seen_BLD[:, :1]


def _text_layers(model: Any) -> Any:
    return model.text_decoder.bert.encoder.layer
