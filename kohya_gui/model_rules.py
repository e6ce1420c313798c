"""Rules of the model that is trained, and of how it computes."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace

from kohya_gui import devices, fixes
from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import base_model, rule
from kohya_gui.stages import TRAINERS


@rule(*TRAINERS)
def model_needed(draft: Draft) -> Iterator[Finding]:
    """Training starts from a model."""
    if not draft.get("pretrained_model_name_or_path"):
        flag = "pretrained_model_name_or_path"
        given = [fixes.from_project(draft, flag)] if draft.given(flag) else []
        yield draft.error(flag, "path.model_needed", *given, fixes.browse(flag))


@rule(*TRAINERS)
def v_prediction_agrees(draft: Draft) -> Iterator[Finding]:
    """So does v_parameterization, where the file tells."""
    model = base_model(draft)
    flag = "v_parameterization"
    on, off = fixes.turn_on(draft, flag), fixes.turn_off(draft, flag)
    if model and model.prediction_type == "v_prediction" and not draft.get(flag):
        yield draft.error(flag, "check.v_off", on)
    if model and model.prediction_type == "epsilon" and draft.get(flag):
        yield draft.error(flag, "check.v_on", off)
    if model and (model.kind, model.prediction_type) == ("sd1", None) and draft.get(flag):
        yield draft.warning(flag, "check.v_sd1", off)


@rule(*TRAINERS)
def one_attention(draft: Draft) -> Iterator[Finding]:
    """The ways to compute attention exclude each other, and xformers must be there."""
    chosen = [flag for flag in ("xformers", "sdpa", "mem_eff_attn", "diffusers_xformers") if draft.get(flag)]
    if len(chosen) > 1:
        keep = fixes.keep_each(draft, *chosen)
        yield draft.error(chosen[1], "check.exclusive", *keep, first=chosen[0], second=chosen[1])
    for flag in chosen:
        if "xformers" in flag and importlib.util.find_spec("xformers") is None:
            instead = replace(fixes.turn_on(draft, "sdpa"), values={"sdpa": True, flag: False})
            yield draft.error(flag, "check.no_xformers", instead)


@rule(*TRAINERS)
def precision_agrees(draft: Draft) -> Iterator[Finding]:
    """clip_skip is not for SD2; half precision wants a GPU."""
    if draft.get("clip_skip") and draft.get("v2"):
        yield draft.error("clip_skip", "check.clip_skip", fixes.leave_out(draft, "clip_skip"))
    if draft.get("mixed_precision") == "fp16" and devices.names() == ["cpu"]:
        yield draft.warning("mixed_precision", "check.fp16_on_cpu", fixes.set_to(draft, "mixed_precision", "no"))


@rule(*TRAINERS)
def layers_to_skip(draft: Draft) -> Iterator[Finding]:
    """No more layers of the text encoder are skipped than it has."""
    model, skipped = base_model(draft), draft.get("clip_skip")
    layers = model.text_layers if model else None
    if layers and skipped and skipped > layers:
        fewer = fixes.set_to(draft, "clip_skip", min(2, layers))
        yield draft.error("clip_skip", "check.clip_layers", fewer, n=layers)
