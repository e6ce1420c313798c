"""The fastest settings of a training that fit into a memory, and learn what it would have learnt. Needs no torch.

What may change leaves a step's pictures as they are: batches in parts whose gradients are added up, layers that are
recomputed, what is encoded beforehand, number formats. Each way is tried with real steps; the formula of
expected_memory.py says beforehand which ways are not worth it, as another that needs less did not fit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.errors import UserError
from sd_scripts.options.spec import flat_values, from_values

Values = dict[str, Any]
"""{option: value} of what is changed."""

_MARGIN = 1.1
"""The formula is right within a tenth: what it puts below the limit by less is tried all the same."""

_LEVELS = (1, 2)
"""Of the U-Net's levels those of highest resolution hold the most and are recomputed the fastest."""

_RECOMPUTING = ("gradient_checkpointing", "gradient_checkpointing_levels", "cpu_offload_checkpointing")

_FAILURES = 3
"""Where so many trials failed and none did not, ways with all that those have in common are not tried."""


@dataclass(frozen=True)
class Trial:
    """A way that was tried, or was not (`skipped`): what it changes, what it was expected to take, and what it took.

    `cut`: it was ended where its memory passed the limit, so it needs more than `peak_bytes`. `failed`: why it could
    not be tried.
    """

    values: Values
    expected_bytes: float | None
    step_s: float | None = None
    peak_bytes: float | None = None
    fits: bool = False
    skipped: bool = False
    cut: bool = False
    failed: str = ""


Try = Callable[[Values], Trial]
Check = Callable[[Any], object]
Expect = Callable[[Values], float | None]


def ways(options: Any, also: Sequence[str], check: Check) -> list[Values]:
    """What may be changed, the most memory first as far as is known: that is mostly the fastest.

    Of ways that differ in what is recomputed only, the later recompute more.
    `check` asks options as the script does, and raises a UserError where it refuses them.
    """
    given = flat_values(options)
    base = _beforehand(options, check)
    found = [
        base | precision | split | recompute | rest
        for precision in _precisions(given, also)
        for recompute in _recomputations(given)
        for split in _splits(given)
        for rest in _others(given, split, also)
    ]
    return _accepted([_differing(way, given) for way in found], options, check)


def last_resorts(options: Any, check: Check) -> list[Values]:
    """What still saves memory where nothing else fits, and costs time."""
    given = flat_values(options)
    least: Values = {**_recomputations(given)[-1], **list(_splits(given))[-1], **_beforehand(options, check)}
    steps: list[Values] = []
    if not any(given.get(flag) for flag in ("xformers", "diffusers_xformers", "mem_eff_attn")):
        steps.append({"mem_eff_attn": True, "sdpa": False})
    if "cpu_offload_checkpointing" in given:
        steps.append({"cpu_offload_checkpointing": True})
    found, so_far = [], least
    for step in steps:
        so_far = so_far | step
        found.append(_differing(so_far, given))
    return _accepted(found, options, check)


def changed(options: Any, values: Values) -> Any:
    """The options with some of them changed."""
    return from_values(type(options), flat_values(options) | values)


def search(
    candidates: Sequence[Values], limit_bytes: float, most: int, expect: Expect, attempt: Try
) -> Iterator[Trial]:
    """Tries candidates, those that are expected to fit first; what needs more than one that did not fit is left out,
    and what only recomputes more than one that fits."""
    known = [(place, way, expect(way)) for place, way in enumerate(candidates)]
    hopeful = sorted(known, key=lambda one: _comes_late(one[1], one[2], limit_bytes))
    too_much = float("inf")
    # Somewhere it is seen for certain that nothing fits.
    least = min((needs for *_, needs in known if needs is not None), default=None)
    tried, failed, fitting = 0, list[Values](), list[tuple[int, Values]]()
    for place, way, expected in hopeful:
        beyond = expected is not None and (expected >= too_much or expected > limit_bytes * _MARGIN**2)
        hopeless = len(failed) == tried >= _FAILURES and _common(failed) <= way.items()
        slower = any(before < place and other == _rest(way) for before, other in fitting)
        if tried >= most or hopeless or slower or (beyond and (tried or expected != least)):
            yield Trial(way, expected, skipped=True)
            continue
        trial = replace(attempt(way), expected_bytes=expected)
        tried += 1
        if trial.failed:
            failed.append(way)
        if trial.fits:
            fitting.append((place, _rest(way)))
        if not trial.fits and not trial.failed and expected is not None:
            too_much = min(too_much, expected)
        yield trial


def fastest(trials: Sequence[Trial]) -> Trial | None:
    """Of those that fit the one with the shortest step; of equally fast ones the one that changes least."""
    fitting = [trial for trial in trials if trial.fits and trial.step_s is not None]
    return min(fitting, key=lambda trial: (trial.step_s or 0.0, len(trial.values)), default=None)


def all_failed(trials: Sequence[Trial]) -> bool:
    """Whether every trial failed, for another reason than memory."""
    return all(trial.failed for trial in trials if not trial.skipped)


def _comes_late(way: Values, expected: float | None, limit_bytes: float) -> bool:
    """Whether a way waits for others: it may need too much. Where that is not known, all levels come before a few."""
    if expected is None:
        return bool(way.get("gradient_checkpointing_levels"))
    return expected > limit_bytes * _MARGIN


def _rest(way: Values) -> Values:
    """What it changes besides what is recomputed."""
    return {flag: value for flag, value in way.items() if flag not in _RECOMPUTING}


def _common(found: Sequence[Values]) -> set[tuple[str, Any]]:
    return set.intersection(*(set(way.items()) for way in found))


def _accepted(candidates: Sequence[Values], options: Any, check: Check) -> list[Values]:
    """Those that the training's own checks take, each once."""
    found: list[Values] = []
    for way in candidates:
        if way not in found and _is_taken(way, options, check):
            found.append(way)
    return found


def _is_taken(way: Values, options: Any, check: Check) -> bool:
    try:
        check(changed(options, way))
    except UserError:
        return False
    return True


def _differing(way: Values, given: Values) -> Values:
    return {flag: value for flag, value in way.items() if given.get(flag) != value}


def _recomputations(given: Values) -> list[Values]:
    """From nothing, which leaves no option that would divide or move what is recomputed, to all levels."""
    off: Values = {"gradient_checkpointing": False, "gradient_checkpointing_levels": None}
    if "cpu_offload_checkpointing" in given:
        off["cpu_offload_checkpointing"] = False
    asked = given["gradient_checkpointing_levels"]
    few = sorted({*_LEVELS, asked} if asked else _LEVELS)
    return [off, *({"gradient_checkpointing": True, "gradient_checkpointing_levels": one} for one in (*few, None))]


def _splits(given: Values) -> list[Values]:
    """A step's pictures in batches that share it evenly, the largest first."""
    size, parts = given["train_batch_size"], given["gradient_accumulation_steps"]
    pictures = size * parts
    sizes = [one for one in range(pictures, 0, -1) if pictures % one == 0]
    if given.get("dataset_config"):
        # Its datasets may have batch sizes of their own.
        sizes = [size]
    return [{"train_batch_size": one, "gradient_accumulation_steps": pictures // one} for one in sizes]


def _precisions(given: Values, also: Sequence[str]) -> list[Values]:
    if given["mixed_precision"] != "no" or "precision" not in also:
        return [{}]
    return [{"mixed_precision": "bf16"}, {}]


def _others(given: Values, split: Values, also: Sequence[str]) -> list[Values]:
    found: list[Values] = [{}]
    one_batch = split["gradient_accumulation_steps"] == 1
    if one_batch and (not given["max_grad_norm"] or "clipping" in also):
        found.append({"fused_backward_pass": True})
    if "optimizer" in also and (given["optimizer_type"] or "AdamW") == "AdamW":
        found += [{**one, "optimizer_type": "AdamW8bit", "use_8bit_adam": False} for one in found]
    return found


def _beforehand(options: Any, check: Check) -> Values:
    """What is made once is never slower; it is the same where pictures and captions do not change."""
    given = flat_values(options)
    subsets = [subset for dataset in asked_datasets(options) for subset in dataset.subsets]
    found: Values = {}
    if not any(subset.pictures.changing for subset in subsets):
        found["cache_latents"] = True
    if not any(subset.captions.changing for subset in subsets):
        found["cache_text_encoder_outputs"] = True
    done = {flag for flag in found if given.get(flag) or given.get(f"{flag}_to_disk")}
    return {flag: True for flag in found if flag not in done and _is_taken({flag: True}, options, check)}
