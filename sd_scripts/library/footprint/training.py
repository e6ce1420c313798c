"""What lies in a training's memory at its fullest: the model, what is learnt about it, and what a step makes.

A step is fullest in its backward pass, where what is kept shrinks while gradients grow, or when the optimizer changes
the weights, with all gradients there. Both are reckoned; the larger counts.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from sd_scripts.library.footprint.layers import Beside, Formats, Layers
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
    that are not. `on_cpu`: all lies in the machine's own memory. `recomputes`, `offloads`: gradient checkpointing,
    and that into RAM. `in_backward`: weights change in the backward pass; `adds_up`: over several batches. `average`,
    `vae`, `idle_texts`: whether these lie on the device: the average of the weights, the VAE, frozen text encoders.
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
    offloads: bool = False
    sliced: bool = False
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
    UNet(setting.model.unet, unet, setting.picture, setting.recomputes).run(context)
    layers.append(unet)
    numbers = _trained_numbers(setting, layers)
    whole_gradient = numbers * setting.weights
    collects = not (setting.in_backward or setting.adds_up)
    peak = _peak(setting, tape, unet, collects)
    before = whole_gradient if setting.adds_up else 0
    in_backward = before + peak.most
    # What the tape has no layer for: biases, norms, the embedding of the time.
    unseen = max(0, numbers - sum(one.numbers for one in layers)) * setting.weights * collects
    largest = _LARGEST_TIMES.get(setting.optimizer, 0) * 4 * _largest(setting, unet)
    at_step = 0 if setting.in_backward else whole_gradient + max(largest, _foreach(setting, whole_gradient))
    in_backward += unseen + (largest if setting.in_backward else 0)
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


def _peak(setting: Setting, tape: Tape, unet: Layers, collects: bool) -> Peak:
    peak = tape.peak(collects, setting.offloads)
    if setting.recomputes and setting.whole and setting.weights != setting.computed:
        # Until the forward pass ends, autocast keeps every weight that it has narrowed.
        narrowed = peak.kept + unet.numbers * setting.computed
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


def _foreach(setting: Setting, gradients: float) -> float:
    """torch's own optimizers that are not one kernel go over all weights at once on a GPU, with a copy as large."""
    return 0 if setting.on_cpu or setting.optimizer not in OPTIMIZER_GROUPS["torch"] else gradients


def _largest(setting: Setting, unet: Layers) -> int:
    words = [
        shape.vocabulary * shape.width
        for shape, learns in zip(setting.model.texts, setting.learning, strict=True)
        if learns and setting.whole
    ]
    return max([unet.largest, *words])
