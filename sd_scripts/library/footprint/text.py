"""CLIP's text encoders, layer by layer, as transformers runs them; only where a gradient passes through them.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021 (section 2.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sd_scripts.library.footprint.layers import Layers
from sd_scripts.library.footprint.tape import Made, Step

CHUNK_TOKENS = 77


@dataclass(frozen=True)
class TextShape:
    """What its configuration says. `quick`: its GELU is x times the sigmoid of 1.702 x, made in three steps."""

    width: int
    layers: int
    inner: int
    heads: int
    vocabulary: int
    quick: bool


def text_shape(config: Mapping[str, Any]) -> TextShape:
    """The shape that a configuration of transformers' tells."""
    return TextShape(
        int(config["hidden_size"]),
        int(config["num_hidden_layers"]),
        int(config["intermediate_size"]),
        int(config["num_attention_heads"]),
        int(config["vocab_size"]),
        config.get("hidden_act", "quick_gelu") == "quick_gelu",
    )


def run_text(shape: TextShape, layers: Layers, texts: int, learns: bool, recomputes: bool) -> Made:
    """From so many chunks of 77 tokens to what the last layer makes of them. `learns`: embeddings have a gradient."""
    numbers = texts * CHUNK_TOKENS * shape.width
    gradient = shape.vocabulary * shape.width * layers.formats.weights * layers.trained
    tokens = Made(texts * CHUNK_TOKENS, 8)
    held = layers.formats.weights if layers.trained else layers.formats.computed
    x = layers.tape.add(Step((tokens,), Made(numbers, held, learns or layers.trained), (), gradient))
    if layers.trained:
        layers.learnt(shape.vocabulary * shape.width)
    layers.factored += (shape.vocabulary + shape.width) * layers.trained
    with layers.adapted():
        for _ in range(shape.layers):
            with layers.tape.recomputed(x, when=recomputes):
                x = _layer(shape, layers, x)
    return layers.norm(x)


def _layer(shape: TextShape, layers: Layers, x: Made) -> Made:
    width = shape.width
    y = layers.norm(x)
    query, key, value = (layers.linear(y, width, width) for _ in range(3))
    out = layers.attention(query, key, value, shape.heads, width)
    x = layers.sum(layers.linear(out, width, width), x)
    y = layers.linear(layers.norm(x), width, shape.inner)
    y = layers.quick_gelu(y) if shape.quick else layers.activation(y)
    return layers.sum(layers.linear(y, shape.inner, width), x)
