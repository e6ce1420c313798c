"""The U-Net of Stable Diffusion 1, 2 and XL, layer by layer, as diffusers runs it.

Sources: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022 (appendix E); Podell et
al., "SDXL", 2023 (section 2.1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sd_scripts.library.footprint.layers import Layers
from sd_scripts.library.footprint.tape import Made

_CHANNELS = 4
_TIME_TIMES = 4
_FEED_FORWARD_TIMES = 4


@dataclass(frozen=True)
class UNetShape:
    """What its configuration says: for each level its width, attention's layers (0: none) and heads; resnets of a
    level; the width of texts; whether the layers around attention are linear."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    resnets: int
    context: int
    linear: bool


@dataclass(frozen=True)
class Picture:
    """A batch: pictures, the latents' height and width, and the tokens of a text."""

    batch: int
    high: int
    wide: int
    tokens: int = 77


def unet_shape(config: Mapping[str, Any]) -> UNetShape:
    """The shape that a configuration of diffusers' tells."""
    widths = tuple(config["block_out_channels"])
    attends = ["Attn" in kind for kind in config["down_block_types"]]
    depths = _each(config.get("transformer_layers_per_block") or 1, len(widths))
    return UNetShape(
        widths,
        tuple(depth if attend else 0 for depth, attend in zip(depths, attends, strict=True)),
        # diffusers' name is misleading: these are numbers of heads.
        _each(config.get("attention_head_dim") or 8, len(widths)),
        int(config["layers_per_block"]),
        int(config["cross_attention_dim"]),
        bool(config.get("use_linear_projection")),
    )


def _each(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


@dataclass
class UNet:
    """Takes down a pass. `recomputed`: gradient checkpointing, as diffusers divides it, in so many levels, from the
    highest resolution on; the middle goes with the last."""

    shape: UNetShape
    layers: Layers
    picture: Picture
    recomputed: int

    def run(self, context: Made) -> Made:
        """From noise to prediction. `context`: what text encoders made of the texts."""
        self._context, self._places = context, self.picture.high * self.picture.wide
        shape, layers = self.shape, self.layers
        x = layers.convolution(Made(self._numbers(_CHANNELS), 4), _CHANNELS, shape.widths[0])
        x, skips = self._down(x)
        down = len(layers.sizes)
        x = self._middle(x)
        middle = len(layers.sizes)
        x = self._up(x, skips)
        # In diffusers' order of parameters the middle comes last.
        layers.sizes[down:] = layers.sizes[middle:] + layers.sizes[down:middle]
        x = layers.activation(layers.norm(x))
        return layers.convolution(x, shape.widths[0], _CHANNELS)

    def _down(self, x: Made) -> tuple[Made, list[tuple[Made, int]]]:
        shape = self.shape
        before, skips = shape.widths[0], [(x, shape.widths[0])]
        for level, width in enumerate(shape.widths):
            for _ in range(shape.resnets):
                x = self._resnet(x, before, level)
                x = self._transformer(x, level)
                before = width
                skips.append((x, width))
            if level < len(shape.widths) - 1:
                with self._among_convs():
                    x = self.layers.convolution(x, width, width, stride=2)
                self._places //= 4
                skips.append((x, width))
        return x, skips

    def _middle(self, x: Made) -> Made:
        level, width = len(self.shape.widths) - 1, self.shape.widths[-1]
        x = self._resnet(x, width, level)
        depth = self.shape.depths[level] or max(self.shape.depths)
        x = self._transformer(x, level, depth)
        return self._resnet(x, width, level)

    def _up(self, x: Made, skips: list[tuple[Made, int]]) -> Made:
        shape, before = self.shape, self.shape.widths[-1]
        for level in reversed(range(len(shape.widths))):
            width = shape.widths[level]
            for _ in range(shape.resnets + 1):
                skip, skip_width = skips.pop()
                x = self.layers.joined(x, skip)
                x = self._resnet(x, before + skip_width, level)
                x = self._transformer(x, level)
                before = width
            if level:
                self._places *= 4
                x = self.layers.resized(self._numbers(width), x)
                with self._among_convs():
                    x = self.layers.convolution(x, width, width)
        return x

    def _resnet(self, x: Made, width: int, level: int) -> Made:
        layers, out = self.layers, self.shape.widths[level]
        with layers.tape.recomputed(x, when=level < self.recomputed), self._among_convs():
            y = layers.activation(layers.norm(x))
            y = layers.convolution(y, width, out)
            time = Made(self.picture.batch * self.shape.widths[0] * _TIME_TIMES, layers.formats.computed)
            layers.linear(time, self.shape.widths[0] * _TIME_TIMES, out)
            # The embedding of the time is added to all places.
            y = layers.sum(y)
            y = layers.activation(layers.norm(y))
            y = layers.convolution(y, out, out)
            short = x if width == out else layers.convolution(x, width, out, window=1)
            # The sum is divided by 1.
            return layers.scaled(layers.sum(short, y))

    def _transformer(self, x: Made, level: int, depth: int | None = None) -> Made:
        depth = self.shape.depths[level] if depth is None else depth
        if not depth:
            return x
        layers, width = self.layers, self.shape.widths[level]
        with layers.adapted():
            y = self._projection(layers.norm(x), width)
            for _ in range(depth):
                with layers.tape.recomputed(y, self._context, when=level < self.recomputed):
                    y = self._block(y, width, self.shape.heads[level])
            if not self.shape.linear:
                # Put back in the order of pictures before the convolution, else behind the layer.
                y = layers.resized(y.numbers, y)
            y = self._projection(y, width)
        return layers.sum(layers.resized(y.numbers, y) if self.shape.linear else y, x)

    def _projection(self, x: Made, width: int) -> Made:
        layers = self.layers
        return layers.linear(x, width, width) if self.shape.linear else layers.convolution(x, width, width, window=1)

    def _block(self, x: Made, width: int, heads: int) -> Made:
        layers = self.layers
        x = layers.sum(self._attention(layers.norm(x), None, width, heads), x)
        x = layers.sum(self._attention(layers.norm(x), self._context, width, heads), x)
        y = layers.norm(x)
        inner = _FEED_FORWARD_TIMES * width
        both = layers.linear(y, width, 2 * inner)
        return layers.sum(layers.linear(layers.gated(both), inner, width), x)

    def _attention(self, x: Made, context: Made | None, width: int, heads: int) -> Made:
        layers = self.layers
        query = layers.linear(x, width, width)
        source, source_width = (x, width) if context is None else (context, self.shape.context)
        key = layers.linear(layers.changed(source, source_width), source_width, width)
        value = layers.linear(layers.changed(source, source_width), source_width, width)
        out = layers.attention(query, key, value, heads, width)
        # What comes out is divided by 1.
        return layers.scaled(layers.linear(out, width, width))

    def _among_convs(self) -> Any:
        return self.layers.adapted(when=bool(self.layers.beside.conv_rank))

    def _numbers(self, width: int) -> int:
        return self.picture.batch * self._places * width


def widths_read(shape: UNetShape) -> Sequence[int]:
    """The widths of what attention reads its keys and values from."""
    own = {width for width, depth in zip(shape.widths, shape.depths, strict=True) if depth}
    return sorted({*own, shape.widths[-1], shape.context})
