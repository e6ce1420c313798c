"""Rules of the model that is trained, and of how it computes."""

import importlib.util
from collections.abc import Iterator

from kohya_gui import devices
from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import base_model, rule


@rule("train")
def model_needed(draft: Draft) -> Iterator[Finding]:
    """Training starts from a model."""
    if not draft.get("pretrained_model_name_or_path"):
        yield draft.error("pretrained_model_name_or_path", "path.model_needed")


@rule("train")
def v_prediction_agrees(draft: Draft) -> Iterator[Finding]:
    """So does v_parameterization, where the file tells."""
    model = base_model(draft)
    if model and model.prediction_type == "v_prediction" and not draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_off")
    if model and model.prediction_type == "epsilon" and draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_on")
    if model and (model.kind, model.prediction_type) == ("sd1", None) and draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_sd1")


@rule("train")
def one_attention(draft: Draft) -> Iterator[Finding]:
    """The ways to compute attention exclude each other, and xformers must be there."""
    chosen = [flag for flag in ("xformers", "sdpa", "mem_eff_attn", "diffusers_xformers") if draft.get(flag)]
    if len(chosen) > 1:
        yield draft.error(chosen[1], "check.exclusive", first=chosen[0], second=chosen[1])
    for flag in chosen:
        if "xformers" in flag and importlib.util.find_spec("xformers") is None:
            yield draft.error(flag, "check.no_xformers")


@rule("train")
def precision_agrees(draft: Draft) -> Iterator[Finding]:
    """clip_skip is not for SD2; half precision wants a GPU."""
    if draft.get("clip_skip") and draft.get("v2"):
        yield draft.error("clip_skip", "check.clip_skip")
    if draft.get("mixed_precision") == "fp16" and devices.names() == ["cpu"]:
        yield draft.warning("mixed_precision", "check.fp16_on_cpu")
