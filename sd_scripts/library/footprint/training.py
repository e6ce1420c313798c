"""What lies in a training's memory at its fullest: the model, what is learnt about it, and what a step makes.

A step is fullest in its backward pass, where what is kept shrinks while gradients grow, or when the optimizer changes
the weights, with all gradients there. Both are reckoned; the larger counts.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from sd_scripts.library.footprint.layers import Beside, Formats, Layers
from sd_scripts.library.footprint.portions import PORTION, cut
from sd_scripts.library.footprint.tape import Made, Peak, Tape
from sd_scripts.library.footprint.text import CHUNK_TOKENS, TextShape, run_text
from sd_scripts.library.footprint.unet import Picture, UNet, UNetShape, widths_read
from sd_scripts.options.optimizer import OPTIMIZER_GROUPS, STATES

BLOCK = 256
"""Numbers of a state in 8 bits that share a float32 (bitsandbytes)."""

_LARGEST_TIMES = {"AdaFactor": 3, "Lion": 2}
"""{optimizer: float32 tensors as large as the largest weight that its step makes}: squares, their root and the update;
momentum and the update. Those of one kernel make none."""

_FACTORED = "AdaFactor"

_WIDE = 4
"""Bytes of a number in float32."""

_LOTS = 5
"""Bytes for each number that is rounded by lot: its lot, and whether it is one (train/rounding.py)."""


@dataclass(frozen=True)
class Model:
    """A model: its shapes, and how many numbers its parts have."""

    unet: UNetShape
    texts: tuple[TextShape, ...]
    unet_numbers: int
    text_numbers: tuple[int, ...]
    vae_numbers: int = 0


@dataclass(frozen=True)
class Setting:
    """What a training's memory hangs on.

    `whole`: the U-Net's own weights are trained; else `beside` is what is trained there, and `adapts_unet` whether
    there is any. `learning`: through which text encoders a gradient passes. `others`: numbers trained besides.
    `computed`, `weights`, `frozen_unet`, `frozen_text`: bytes of a number in layers, of one that is trained, of those
    that are not. `on_cpu`: all lies in the machine's own memory. `recomputes`, `levels`, `offloads`: gradient
    checkpointing, in so many levels of the U-Net (None: in all), and that into RAM. `rounds`: weights in bf16 change in
    float32, a portion after the other, and are rounded by lot. `in_backward`: weights change in the backward pass;
    `adds_up`: over several batches. `average`, `vae`, `idle_texts`: whether these lie on the device: the average of the
    weights, the VAE, frozen text encoders.
    """

    model: Model
    picture: Picture
    whole: bool = True
    adapts_unet: bool = True
    learning: tuple[bool, ...] = (False,)
    beside: Beside = field(default_factory=Beside)
    others: int = 0
    computed: int = 4
    weights: int = 4
    frozen_unet: float = 4
    frozen_text: float = 4
    optimizer: str = "AdamW"
    on_cpu: bool = False
    recomputes: bool = False
    levels: int | None = None
    offloads: bool = False
    sliced: bool = False
    rounds: bool = False
    in_backward: bool = False
    adds_up: bool = False
    average: bool = False
    vae: bool = False
    idle_texts: bool = True


@dataclass(frozen=True)
class Footprint:
    """Bytes of each kind at the fullest moment. `optimizer` None: it is not known how much it remembers.

    `paged`: what the optimizer remembers moves into RAM where the device is short of memory. `activations`: what a
    step makes besides gradients. `numbers`: how many are trained.
    """

    trained: float
    frozen: float
    gradients: float
    optimizer: float | None
    average: float
    activations: float
    numbers: int
    paged: bool = False

    @property
    def weights(self) -> float:
        """All weights: trained, frozen, and their average."""
        return self.trained + self.frozen + self.average

    @property
    def total(self) -> float:
        """All of it, as far as it is known."""
        kept = 0 if self.paged else self.optimizer or 0
        return self.weights + self.gradients + kept + self.activations


@lru_cache(maxsize=64)
def footprint(setting: Setting) -> Footprint:
    """The memory of a training's steps, once the optimizer has its states."""
    tape = Tape()
    layers: list[Layers] = []
    context = _texts(setting, tape, layers)
    unet = Layers(tape, _formats(setting), setting.whole, setting.beside if setting.adapts_unet else Beside())
    UNet(setting.model.unet, unet, setting.picture, _recomputed(setting)).run(context)
    layers.insert(0, unet)
    numbers = _trained_numbers(setting, layers)
    whole_gradient = numbers * setting.weights
    collects = not (setting.in_backward or setting.adds_up)
    peak = _peak(setting, tape, layers, collects)
    before = whole_gradient if setting.adds_up else 0
    in_backward = before + peak.most
    # What the tape has no layer for: biases, norms, the embedding of the time.
    unseen = max(0, numbers - sum(one.numbers for one in layers)) * setting.weights * collects
    largest = _step_bytes(setting, 0, max(one.largest for one in layers))
    in_backward += unseen + (largest if setting.in_backward and not setting.rounds else 0)
    at_step = 0 if setting.in_backward else _at_step(setting, numbers, layers)
    gradients = before + peak.gradients + unseen if in_backward >= at_step else whole_gradient
    return Footprint(
        trained=numbers * setting.weights,
        frozen=_frozen(setting),
        gradients=gradients,
        optimizer=_remembered(setting, numbers, layers),
        average=numbers * 4 * setting.average,
        activations=max(in_backward, at_step) - gradients,
        numbers=numbers,
        paged=setting.optimizer.startswith("Paged"),
    )


def _formats(setting: Setting) -> Formats:
    return Formats(setting.computed, setting.weights, not setting.on_cpu, setting.sliced)


def _recomputed(setting: Setting) -> int:
    """In how many of the U-Net's levels layers are recomputed."""
    levels = len(setting.model.unet.widths)
    return min(levels, setting.levels or levels) if setting.recomputes else 0


def _texts(setting: Setting, tape: Tape, layers: list[Layers]) -> Made:
    """What the U-Net reads of texts. Encoders that no gradient passes through leave nothing behind but that."""
    picture = setting.picture
    chunks = picture.batch * max(1, -(-(picture.tokens - 2) // (CHUNK_TOKENS - 2)))
    made = []
    for shape, learns in zip(setting.model.texts, setting.learning, strict=True):
        if not learns:
            made.append(Made(chunks * CHUNK_TOKENS * shape.width, 4))
            continue
        inner = Layers(tape, _formats(setting), setting.whole, setting.beside)
        made.append(run_text(shape, inner, chunks, not (setting.whole or setting.beside.rank), setting.recomputes))
        layers.append(inner)
    numbers = picture.batch * picture.tokens * setting.model.unet.context
    if not any(setting.learning):
        return Made(numbers, 4)
    return Layers(tape, _formats(setting), False, Beside()).resized(numbers, *made)


def _peak(setting: Setting, tape: Tape, layers: list[Layers], collects: bool) -> Peak:
    at_once = _rounding(setting, 1, 1) / setting.weights if setting.rounds and setting.in_backward else 0
    peak = tape.peak(collects, setting.offloads, at_once)
    if setting.recomputes and setting.whole and setting.weights != setting.computed:
        # Until the forward pass ends, autocast keeps every weight that it has narrowed.
        narrowed = peak.kept + sum(one.narrowed for one in layers) * setting.computed
        if narrowed > peak.most:
            return Peak(narrowed, 0, peak.kept)
    return peak


def _trained_numbers(setting: Setting, layers: list[Layers]) -> int:
    if not setting.whole:
        return sum(one.numbers for one in layers) + setting.others + _hypernetwork(setting)
    texts = zip(setting.model.text_numbers, setting.learning, strict=True)
    return setting.model.unet_numbers + sum(numbers for numbers, learns in texts if learns)


def _hypernetwork(setting: Setting) -> int:
    times = setting.beside.multiples
    pairs = [
        (round(before * width), round(after * width))
        for width in widths_read(setting.model.unet)
        for before, after in zip(times, times[1:], strict=False)
    ]
    return 2 * sum(before * after + after for before, after in pairs)


def _frozen(setting: Setting) -> float:
    model = setting.model
    unet = 0 if setting.whole else model.unet_numbers * setting.frozen_unet
    texts = 0.0
    for numbers, learns in zip(model.text_numbers, setting.learning, strict=True):
        if not (setting.whole and learns) and (learns or setting.idle_texts):
            texts += numbers * setting.frozen_text
    return unet + texts + model.vae_numbers * 4 * setting.vae


def _remembered(setting: Setting, numbers: int, layers: list[Layers]) -> float | None:
    name = setting.optimizer
    if name == _FACTORED:
        # Its sums are of float32, whatever the weights are.
        return sum(one.factored for one in layers) * 4
    if name not in STATES:
        return None
    return numbers * STATES[name] * (1 + 4 / BLOCK if name.endswith("8bit") else setting.weights)


def _at_step(setting: Setting, numbers: int, layers: list[Layers]) -> float:
    """Bytes of gradients, and of what the optimizer makes besides, at the fullest moment of its step."""
    if not setting.rounds:
        return numbers * setting.weights + _step_bytes(setting, numbers, max(one.largest for one in layers))
    most, left = 0.0, numbers
    # Of biases, norms and what has no layers no sizes are known: none of them is large.
    rest = max(0, numbers - sum(one.numbers for one in layers))
    unseen = [PORTION] * (rest // PORTION) + [rest % PORTION]
    unet, *texts = (one.sizes for one in layers)
    for sizes in [unet + unseen, *texts]:
        for place in cut(sizes):
            some = sizes[place]
            most = max(most, left * setting.weights + _rounding(setting, sum(some), max(some)))
            # Gradients go with their portion.
            left -= sum(some)
    return most


def _rounding(setting: Setting, numbers: int, largest: int) -> float:
    """Bytes that a portion of weights takes besides its own while it is in float32; its gradients in bf16 are gone."""
    narrow = setting.weights
    states = 0 if setting.optimizer.endswith("8bit") else STATES.get(setting.optimizer, 0)
    held = numbers * (2 * _WIDE - narrow + states * (_WIDE - narrow))
    # Then the optimizer's step, or the rounding of the last of its states, when those before are there in both formats.
    return held + max(_step_bytes(setting, numbers, largest), numbers * (_LOTS + states * narrow))


def _step_bytes(setting: Setting, numbers: int, largest: int) -> float:
    """What an optimizer makes for a step of so many numbers, of which so many are the largest weight's.

    torch's own that are not one kernel go over all weights at once on a GPU, with a copy as large.
    """
    at_once = not setting.on_cpu and setting.optimizer in OPTIMIZER_GROUPS["torch"]
    copied = numbers * (_WIDE if setting.rounds else setting.weights) * at_once
    return max(copied, _LARGEST_TIMES.get(setting.optimizer, 0) * _WIDE * largest)
