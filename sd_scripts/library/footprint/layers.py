"""Layers as the tape takes them down: what each keeps depends on what is trained, and on the number formats."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sd_scripts.library.footprint.tape import Made, Step, Tape

_SCORES_BYTES = 4
"""Attention keeps a float32 for each query and head: the logarithm of what its scores add up to."""


@dataclass(frozen=True)
class Formats:
    """Number formats. `computed`, `weights`: bytes of a number in layers, and of one that is trained.

    `wide_norms`: under autocast a GPU's norms compute and give float32, whatever they are given; a CPU's do not.
    `sliced`: attention goes over some tokens at a time, and is recomputed.
    """

    computed: int = 4
    weights: int = 4
    wide_norms: bool = False
    sliced: bool = False


@dataclass(frozen=True)
class Beside:
    """What is trained beside frozen layers: `rank` of an adapter of each linear layer of attention and feed-forward (0:
    none), and of each convolution; `multiples` of its width that a hypernetwork leads each context through."""

    rank: int = 0
    conv_rank: int = 0
    multiples: tuple[float, ...] = ()


@dataclass
class Layers:
    """Takes layers down. `trained`: their own weights are; `adapts`: those that come have adapters.

    `sizes` of weights that are trained, as far as seen; numbers of sums of their rows and columns (`factored`), and of
    weights in layers that are recomputed, which autocast narrows (`narrowed`).
    """

    tape: Tape
    formats: Formats
    trained: bool
    beside: Beside
    sizes: list[int] = field(default_factory=list)
    factored: float = 0
    narrowed: int = 0
    adapts: bool = False

    @property
    def numbers(self) -> int:
        """Of all weights that are trained, as far as seen."""
        return sum(self.sizes)

    @property
    def largest(self) -> int:
        """Numbers of the largest of them."""
        return max(self.sizes, default=0)

    @contextmanager
    def adapted(self, when: bool = True) -> Iterator[None]:
        """The linear layers and convolutions within have adapters, where a network has any for them."""
        self.adapts = when
        yield
        self.adapts = False

    def norm(self, x: Made) -> Made:
        """A group or layer norm."""
        if self.formats.wide_norms and self.formats.computed < 4:
            x = self.cast(x, 4)
        return self._own(Step((x,), self._like(x), (x,)))

    def activation(self, x: Made) -> Made:
        """SiLU, GELU and their like: what they were given is needed for their slope."""
        return self.tape.add(Step((x,), self._like(x), (x,)))

    def gated(self, both: Made) -> Made:
        """GEGLU: one half of the numbers, times the GELU of the other."""
        half = both.numbers // 2
        gate = self.tape.add(Step((both,), Made(half, both.each, both.learns), (both,)))
        return self.tape.add(Step((both, gate), Made(half, both.each, both.learns), (both, gate)))

    def quick_gelu(self, x: Made) -> Made:
        """x times the sigmoid of a multiple of it."""
        multiple = self.scaled(x)
        slope = self._like(x)
        self.tape.add(Step((multiple,), slope, (slope,)))
        return self.tape.add(Step((x, slope), self._like(x), (x, slope)))

    def cast(self, x: Made, each: int) -> Made:
        """Another number format."""
        return x if x.each == each else self.tape.add(Step((x,), Made(x.numbers, each, x.learns)))

    def sum(self, *several: Made) -> Made:
        """Of tensors alike."""
        first = several[0]
        makes = Made(first.numbers, max(x.each for x in several), any(x.learns for x in several))
        return self.tape.add(Step(several, makes, passes_on=True))

    def scaled(self, x: Made) -> Made:
        """Multiplied or divided by a plain number."""
        return self.tape.add(Step((x,), self._like(x)))

    def joined(self, *several: Made) -> Made:
        """One behind the other."""
        return self.resized(sum(x.numbers for x in several), *several)

    def resized(self, numbers: int, *several: Made) -> Made:
        """Copied, or repeated, or put in another order in memory."""
        makes = Made(numbers, several[0].each, any(x.learns for x in several))
        return self.tape.add(Step(several, makes))

    def weighted(self, x: Made, weights: int, out: int, keeps: bool) -> Made:
        """A linear layer or convolution of so many weights that gives so many numbers. `keeps`: it keeps its input."""
        formats = self.formats
        taken = self.cast(x, formats.computed)
        # Weights that are trained are kept in the format that was computed in, beside themselves.
        copies = self.trained and formats.weights != formats.computed
        kept_input = (taken,) if keeps else ()
        kept_copy = (Made(weights, formats.computed),) if copies and x.learns else ()
        gradient = weights * formats.weights * self.trained
        if self.trained:
            self.learnt(weights)
        makes = Made(out, formats.computed, x.learns or self.trained)
        self.narrowed += weights * copies * self.tape.recomputing
        copy_bytes = weights * formats.computed * copies
        return self.tape.add(Step((taken,), makes, kept_input + kept_copy, gradient, (0, copy_bytes)))

    def linear(self, x: Made, width: int, out: int) -> Made:
        """A linear layer from so many numbers a token to so many."""
        tokens = x.numbers // width
        y = self.weighted(x, width * out, tokens * out, keeps=self.trained)
        self.factored += (width + out) * self.trained
        return self._adapted(x, y, self.beside.rank, (width, tokens, out))

    def convolution(self, x: Made, channels: int, out: int, window: int = 3, stride: int = 1) -> Made:
        """A convolution over window x window places, from so many channels to so many."""
        places = x.numbers // channels // stride**2
        # torch has one formula for all gradients of a convolution, and keeps what each of them would need.
        y = self.weighted(x, channels * out * window**2, places * out, keeps=True)
        # Rows and columns are those of its windows.
        self.factored += 2 * channels * out * window * self.trained
        rank = self.beside.rank if window == 1 else self.beside.conv_rank
        return self._adapted(x, y, rank, (channels * window**2, places, out))

    def _adapted(self, x: Made, y: Made, rank: int, size: tuple[int, int, int]) -> Made:
        """The layer's output with its adapter's change, where it has one: two matrices lead from x through `rank`
        numbers a place. `size`: what each of the numbers is made of, places, and numbers of a place that come out."""
        if not (rank and self.adapts):
            return y
        width, places, out = size
        computed, weights = self.formats.computed, self.formats.weights
        taken = self.cast(x, computed)
        down = Step((taken,), Made(places * rank, computed, True), (taken,), width * rank * weights)
        between = self.tape.add(down)
        change = self.tape.add(Step((between,), Made(y.numbers, computed, True), (between,), out * rank * weights))
        self.learnt(rank * max(width, out))
        self.learnt(rank * min(width, out))
        self.factored += 2 * rank + width + out
        # Multiplied by its scale and by its strength: plain numbers, so nothing is kept.
        return self.sum(y, self.scaled(self.scaled(change)))

    def attention(self, query: Made, key: Made, value: Made, heads: int, width: int) -> Made:
        """Fused attention: its scores are never whole."""
        learns = query.learns or key.learns or value.learns
        out = Made(query.numbers, self.formats.computed, learns)
        sums = Made(query.numbers // width * heads, _SCORES_BYTES)
        if self.formats.sliced:
            # The scores of 1024 queries at a time, in float32, twice: before and after the softmax.
            scores = 2 * 4 * min(1024, query.numbers // width) * heads * (key.numbers // width)
            return self.tape.add(Step((query, key, value), out, (query, key, value), 0, (scores, 2 * scores)))
        made = self.tape.add(Step((query, key, value), out, (query, key, value, out, sums)))
        return made

    def changed(self, context: Made, width: int) -> Made:
        """A context of attention as a hypernetwork changes it: led through its layers, and added."""
        if not self.beside.multiples:
            return context
        tokens, computed, weights = context.numbers // width, self.formats.computed, self.formats.weights
        sizes = [round(times * width) for times in self.beside.multiples]
        hidden = self.cast(context, weights)
        for outside in sizes[1:]:
            taken = self.cast(hidden, computed)
            hidden = self.tape.add(Step((taken,), Made(tokens * outside, computed, True), (taken,)))
        return self.sum(context, self.scaled(hidden))

    def learnt(self, weights: int) -> None:
        """Takes down a weight that is trained, of so many numbers."""
        self.sizes.append(weights)

    def _own(self, step: Step) -> Made:
        learns = step.makes.learns or self.trained
        makes = Made(step.makes.numbers, step.makes.each, learns)
        return self.tape.add(Step(step.reads, makes, step.keeps))

    def _like(self, x: Made) -> Made:
        return Made(x.numbers, x.each, x.learns)
