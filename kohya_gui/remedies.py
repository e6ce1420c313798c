"""What to try after a failure, by its kind: changes of settings, as data, the most helpful first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kohya_gui.words import say

Values = dict[str, Any]
Change = Callable[[Values], Values]

MAX_OFFERED = 5


@dataclass(frozen=True)
class Remedy:
    """`change` gives the settings that it would change, from those that the run had."""

    name: str
    change: Change


def sets(**values: Any) -> Change:
    """Gives options a value; one that has it already is left out."""
    return lambda had: {flag: value for flag, value in values.items() if flag in had and had[flag] != value}


def scales(flag: str, factor: float) -> Change:
    """Multiplies an option's number."""
    return lambda had: {flag: float(f"{had[flag] * factor:.3g}")} if had.get(flag) else {}


def only_with(needed: str, change: Change) -> Change:
    """A change that makes sense only where another option is set."""
    return lambda had: change(had) if had.get(needed) else {}


def without(in_the_way: str, change: Change) -> Change:
    """A change that another option rules out, whatever its value."""
    return lambda had: {} if had.get(in_the_way) else change(had)


def unless(in_the_way: str, value: Any, change: Change) -> Change:
    """A change that another option's value rules out."""
    return lambda had: {} if had.get(in_the_way) == value else change(had)


def whole_steps(change: Change) -> Change:
    """A change that needs weights to change only once a step is known to be good."""
    in_parts = ("fused_backward_pass", "fused_optimizer_groups", "deepspeed")
    return lambda had: {} if any(had.get(flag) for flag in in_parts) else change(had)


def single_batches(had: Values) -> Values:
    """Batches of one picture. As many pictures a step as before, where gradients can be added up: the same learning."""
    size = had.get("train_batch_size") or had.get("batch_size") or 1
    if size == 1:
        return {}
    if "train_batch_size" not in had:
        return {"batch_size": 1}
    if had.get("fused_backward_pass"):
        return {"train_batch_size": 1}
    return {"train_batch_size": 1, "gradient_accumulation_steps": had["gradient_accumulation_steps"] * size}


_unet_only = unless("network_train_text_encoder_only", True, sets(network_train_unet_only=True))
_SINGLE = Remedy("batch_1", single_batches)
_NO_READERS = Remedy("no_readers", only_with("max_data_loader_n_workers", sets(max_data_loader_n_workers=0)))

REMEDIES: dict[str, tuple[Remedy, ...]] = {
    "memory": (
        Remedy("recompute", sets(gradient_checkpointing=True)),
        _SINGLE,
        Remedy("retry_smaller", whole_steps(sets(on_oom="retry"))),
        # Beside a frozen model an optimizer remembers next to nothing.
        Remedy("adamw8bit", without("network_module", sets(optimizer_type="AdamW8bit", use_8bit_adam=False))),
        Remedy("bf16", unless("full_fp16", True, sets(mixed_precision="bf16"))),
        Remedy("text_encoder_still", sets(train_text_encoder=False)),
        Remedy("unet_only", only_with("network_module", _unet_only)),
        Remedy("base_8bit", only_with("network_module", unless("mixed_precision", "no", sets(fp8_base=True)))),
    ),
    "killed": (
        Remedy("latents_on_disk", sets(cache_latents_to_disk=True, cache_latents=True)),
        _SINGLE,
        _NO_READERS,
    ),
    "not_finite": (
        Remedy("rate_tenth", scales("learning_rate", 0.1)),
        Remedy("bf16", only_with("mixed_precision", unless("mixed_precision", "no", sets(mixed_precision="bf16")))),
        Remedy("vae_full", unless("mixed_precision", "no", sets(no_half_vae=True))),
        Remedy("skip_steps", whole_steps(sets(on_nonfinite="skip"))),
        Remedy("min_snr", without("min_snr_gamma", sets(min_snr_gamma=5.0))),
        Remedy("clip", sets(max_grad_norm=1.0)),
    ),
    "disk_full": (
        Remedy("keep_one_epoch", only_with("save_every_n_epochs", sets(save_last_n_epochs=1))),
        Remedy("keep_one_step", only_with("save_every_n_steps", sets(save_last_n_steps=1))),
        Remedy("half_files", sets(save_precision="fp16")),
        Remedy("no_states", sets(save_state=False)),
    ),
}
# The option that it is about, where the script names none.
_OPTIONS = {"disk_full": ("output_dir", "out_json")}


def remedies(kind: str | None, had: Values) -> list[dict[str, Any]]:
    """The changes to offer after a failure: name, what it is called and does, and the settings that it changes."""
    offered = [(remedy.name, remedy.change(had)) for remedy in REMEDIES.get(kind or "", ())]
    return [
        {"name": name, "label": say(f"remedy.{name}"), "help": say(f"remedy.{name}_help"), "changes": changes}
        for name, changes in offered
        if changes
    ][:MAX_OFFERED]


def option_to_blame(kind: str | None, sentence: str, had: Values) -> str | None:
    """The option to look at: one whose path the sentence names, else the one that such trouble is about."""
    paths = {flag: value for flag, value in had.items() if isinstance(value, str) and len(value) > 3}
    named = next((flag for flag, path in paths.items() if path in sentence), None) if kind == "file" else None
    return named or next((flag for flag in _OPTIONS.get(kind or "", ()) if flag in had), None)
