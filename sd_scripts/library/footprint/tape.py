"""A forward and a backward pass as a list of what is made, kept and dropped: how many bytes live at the most.

What is kept for the backward pass follows autograd's rules, and nothing else is assumed: a layer whose weight is
trained keeps its input; one whose input has a gradient keeps its weight; a norm, an activation and a product keep what
they were given; attention keeps queries, keys, values and its output; a sum keeps nothing. A tensor lives as long as
someone keeps it or will read it, and its gradient from the first that gives a share of it to the one that made it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(eq=False, frozen=True)
class Made:
    """A tensor: its size, bytes of each number, and whether its gradient is asked for."""

    numbers: int
    each: int
    learns: bool = False

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.numbers * self.each


@dataclass(eq=False, frozen=True)
class Step:
    """A layer: what it reads, makes and keeps.

    `gradient`: bytes of the gradient of its trained weights; `scratch`: bytes that it needs meanwhile, forwards and
    backwards; `passes_on`: what it reads has the gradient of what it makes, as with sums.
    """

    reads: tuple[Made, ...]
    makes: Made
    keeps: tuple[Made, ...] = ()
    gradient: float = 0
    scratch: tuple[float, float] = (0, 0)
    passes_on: bool = False


@dataclass(eq=False)
class Recomputed:
    """Layers of which only what they read is kept: they run again in the backward pass."""

    reads: tuple[Made, ...]
    steps: list["Entry"] = field(default_factory=list)

    @property
    def makes(self) -> Made:
        """What the last of them makes."""
        return self.steps[-1].makes


Entry = Step | Recomputed


@dataclass(frozen=True)
class Peak:
    """Bytes that live at the most beside the weights, and how many of them are gradients of weights then; and `kept`:
    what lives when the backward pass begins."""

    most: float
    gradients: float
    kept: float


class Tape:
    """Takes down the layers of a pass, in their order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.recomputing = False

    def add(self, step: Step) -> Made:
        """Takes down a layer; gives what it makes."""
        self.entries.append(step)
        return step.makes

    @contextmanager
    def recomputed(self, *reads: Made, when: bool = True) -> Iterator[None]:
        """The layers within are recomputed, where asked for."""
        if not when:
            yield
            return
        outer, segment = self.entries, Recomputed(reads)
        self.entries, self.recomputing = segment.steps, True
        yield
        self.entries, self.recomputing = outer, False
        outer.append(segment)

    def peak(self, collects: bool = True, offloads: bool = False, at_once: float = 0) -> Peak:
        """The most memory of a forward and a backward pass. `collects`: gradients of weights stay, and were not there
        before; otherwise they go as soon as they were used. `offloads`: what is recomputed from waits elsewhere.
        `at_once`: bytes for each byte of a gradient that its use within the backward pass takes."""
        run = _Run(collects, offloads, at_once)
        run.forward(self.entries, keeping=True)
        kept = run.live
        run.backward(self.entries)
        return Peak(run.most, run.gradients_then, kept)


class _Run:
    """Bytes that live, as the passes go on."""

    def __init__(self, collects: bool, offloads: bool, at_once: float) -> None:
        self.live = self.most = self.gradients_then = 0.0
        self._collects = collects
        self._offloads = offloads
        self._at_once = at_once
        self._gradients = 0.0
        self._holders: Counter[Made] = Counter()
        self._gradient_of: dict[Made, Made] = {}

    def forward(self, entries: Sequence[Entry], keeping: bool) -> None:
        """A function's layers: what it has made is dropped after the last that reads it, but for the last."""
        last = {made: place for place, entry in enumerate(entries) for made in entry.reads}
        own = {entry.makes for entry in entries}
        for place, entry in enumerate(entries):
            if isinstance(entry, Recomputed):
                self.forward(entry.steps, keeping=False)
                if keeping and entry.makes.learns and not self._offloads:
                    self._hold(*entry.reads)
            else:
                self._hold(entry.makes)
                self._look(entry.scratch[0])
                if keeping and entry.makes.learns:
                    self._hold(*entry.keeps)
            self._drop(*(made for made in set(entry.reads) & own if last[made] == place))
            if entry.makes not in last and place < len(entries) - 1:
                self._drop(entry.makes)

    def backward(self, entries: Sequence[Entry]) -> None:
        """The same layers backwards, as far as anything before them learns."""
        for entry in reversed(entries):
            if not entry.makes.learns:
                continue
            if isinstance(entry, Recomputed):
                if self._offloads:
                    self._hold(*entry.reads)
                self.forward(entry.steps, keeping=True)
                self._drop(entry.makes)
                self.backward(entry.steps)
                self._drop(*entry.reads)
            else:
                self._learn(entry)

    def _learn(self, step: Step) -> None:
        given = self._gradient_of.pop(step.makes, None) or self._new(step.makes)
        more = 0.0
        for made in (made for made in step.reads if made.learns):
            if made in self._gradient_of:
                # A second share of a gradient is made apart, and added.
                more += 0 if step.passes_on else made.bytes
            elif step.passes_on and made.bytes == given.bytes:
                self._gradient_of[made] = given
                self._hold(given)
            else:
                self._gradient_of[made] = self._new(made)
        self._look(step.scratch[1] + step.gradient + more)
        if self._collects:
            self.live += step.gradient
            self._gradients += step.gradient
        self._drop(given, *step.keeps)
        # What the layer kept is gone when its weight changes.
        self._look(step.gradient * self._at_once)

    def _new(self, made: Made) -> Made:
        gradient = Made(made.numbers, made.each)
        self._hold(gradient)
        return gradient

    def _hold(self, *several: Made) -> None:
        for made in several:
            if not self._holders[made]:
                self.live += made.bytes
            self._holders[made] += 1

    def _drop(self, *several: Made) -> None:
        for made in several:
            self._holders[made] -= 1
            if not self._holders[made]:
                self.live -= made.bytes

    def _look(self, scratch: float) -> None:
        if self.live + scratch > self.most:
            self.most, self.gradients_then = self.live + scratch, self._gradients
