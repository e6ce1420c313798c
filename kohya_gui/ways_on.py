"""How a training that has ended goes on: resumed, from its weights, or as a branch; the settings of each."""

import glob
from pathlib import Path
from typing import Any

from kohya_gui.stages import STAGES
from sd_scripts.library.train.state_files import damage
from sd_scripts.options.spec import option_specs

Values = dict[str, Any]

_WEIGHTS = ("network_weights", "weights", "hypernetwork_weights", "pretrained_model_name_or_path")
"""The options that take a trained file to go on from; the first that a stage has is its own."""
_NO_STATE: Values = {"resume": "", "branch": "", "resume_from_huggingface": False}


def ways_on(stage_id: str, values: Values, saved: list[dict[str, Any]]) -> list[Values]:
    """The ways that are open: `name`, the settings that it `changes`, and the `flag` to look at first.

    `saved`: what the run says that it saved, in order. What is gone or not whole is passed over for what came before.
    """
    states = (one["path"] for one in reversed(saved) if one["kind"] == "state")
    state = next((path for path in states if damage(Path(path), quick=True) is None), None)
    models = (one["path"] for one in reversed(saved) if one["kind"] == "model")
    model = next((path for path in models if Path(path).exists()), None)
    found = []
    if state:
        found.append(_way("resume", "resume", {"resume": state}))
    if model:
        flag = weights_flag(stage_id)
        found.append(_way("weights", flag, {flag: model, "output_name": _another_name(values)}))
    if state:
        found.append(_way("branch", "branch", {"branch": state, "output_name": _another_name(values)}))
    return found


def weights_flag(stage_id: str) -> str:
    """The option of a stage that takes a trained file to go on from."""
    specs = option_specs(STAGES[stage_id].options)
    return next(flag for flag in _WEIGHTS if flag in specs)


def _way(name: str, flag: str, changes: Values) -> Values:
    return {"name": name, "flag": flag, "changes": {**_NO_STATE, **changes}}


def _another_name(values: Values) -> str:
    """A name under which nothing of the earlier training is written over, nor its states taken for this one's."""
    name = values.get("output_name") or "last"
    folder = Path(values.get("output_dir") or ".")
    number = 2
    while any(folder.glob(f"{glob.escape(name)}-{number}*")):
        number += 1
    return f"{name}-{number}"
