"""The memory that a training's weights take at least, by a formula: parameters times bytes. Needs no torch.

It follows what the trainer puts on the device (library/train/device.py). Activations are not in it: they depend on
pictures, batch and attention, and only a run can tell them.
"""

from collections import Counter
from dataclasses import dataclass

from kohya_gui import found
from kohya_gui.draft import Draft
from kohya_gui.training_plan import weights_bytes
from sd_scripts.options.optimizer import STATES


@dataclass(frozen=True)
class Memory:
    """Bytes of each kind, of weights first. `optimizer` None: it is not known how much the optimizer keeps.

    `paged`: what it keeps moves into RAM where the device is short of memory.
    """

    trained: float
    frozen: float
    gradients: float
    optimizer: float | None
    paged: bool = False

    @property
    def total(self) -> float:
        """All that is known to stay on the device."""
        return self.trained + self.frozen + self.gradients + (0 if self.paged else self.optimizer or 0)


def optimizer_of(draft: Draft) -> str:
    """The optimizer by its name."""
    older = {"use_8bit_adam": "AdamW8bit", "use_lion_optimizer": "Lion"}
    return draft.get("optimizer_type") or next((name for flag, name in older.items() if draft.get(flag)), "AdamW")


def trains_text(draft: Draft) -> bool:
    """Whether a whole model's text encoder is trained: DreamBooth does it by itself."""
    stop = draft.get("stop_text_encoder_training")
    asked = draft.stage.method == "dreambooth" or bool(draft.get("train_text_encoder"))
    return asked and draft.get("learning_rate_te") != 0 and (stop is None or stop > 0)


def memory_of(draft: Draft) -> Memory | None:
    """What the weights take on the device; None where the model's parts are not known, or are divided up."""
    name = draft.path("pretrained_model_name_or_path")
    parts = found.parameters_at(name) if name and name.exists() else Counter()
    if not parts.get("unet") or not parts.get("text_encoder") or draft.get("deepspeed"):
        return None
    if not draft.stage.saves_whole_models:
        return Memory(0, _beside(draft, parts), 0, None)
    each, text_too = weights_bytes(draft), trains_text(draft)
    trained = parts["unet"] + (parts["text_encoder"] if text_too else 0)
    frozen = 0 if text_too else parts["text_encoder"] * (1 if draft.get("fp8_base") else each)
    # A gradient is dropped as soon as it was used.
    gradients = 0 if draft.get("fused_backward_pass") else trained * each
    paged = optimizer_of(draft).startswith("Paged")
    return Memory(trained * each, frozen, gradients, _remembered(draft, trained), paged)


def _beside(draft: Draft, parts: Counter[str]) -> float:
    """Bytes of a model that something is trained beside: it is kept in what is computed in, or in 8 bits."""
    half = 4 if draft.get("mixed_precision") == "no" else 2
    in_8_bits = draft.get("fp8_base") or draft.get("fp8_base_unet")
    texts = 0 if draft.get("cache_text_encoder_outputs") else parts["text_encoder"]
    return parts["unet"] * (1 if in_8_bits else half) + texts * (1 if draft.get("fp8_base") else half)


def state_bytes(draft: Draft) -> float | None:
    """How large a saved state is: the trained weights, and what the optimizer remembers; None where not known."""
    memory = memory_of(draft)
    return memory.trained + memory.optimizer if memory and memory.optimizer is not None else None


def _remembered(draft: Draft, trained: int) -> float | None:
    name = optimizer_of(draft)
    if name not in STATES:
        return None
    each = 1 if name.endswith("8bit") else weights_bytes(draft)
    return trained * each * STATES[name]
