"""Which training settings of another program are for: told by their keys, and by the family of their model."""

from collections.abc import Iterable

from kohya_gui.importing.report import Report, Source
from kohya_gui.stages import STAGES, Method, training_of
from kohya_gui.words import say

TELLING: dict[Method, tuple[str, ...]] = {
    "lora": ("LoRA_type", "network_module", "network_dim", "network_alpha"),
    "hypernetwork": ("layer_structure", "hypernetwork_weights"),
    "inversion": ("token_string", "init_word"),
    "full": ("in_json", "dataset_repeats", "train_text_encoder"),
    "dreambooth": ("stop_text_encoder_training", "reg_data_dir", "no_token_padding"),
}
"""Keys that tell of a method; where none is there, it is the whole model. What is before wins."""

_NAMES: dict[str, str] = {"inversion": "textual_inversion"}


def method_of(keys: Iterable[str]) -> Method:
    """The method that some keys tell of."""
    given = set(keys)
    return next((method for method, telling in TELLING.items() if given & set(telling)), "full")


def training_report(source: Source, name: str, method: Method, family: str) -> Report:
    """An empty report for a training; where there is no such one, for the nearest, which it says."""
    exact = training_of(method, family)
    # Fine-tuning reads the folders of DreamBooth too; what is trained beside a model has its own form.
    nearest = training_of("full", family) if method == "dreambooth" else training_of(method, "sd")
    stage = exact or nearest or STAGES["train"]
    report = Report(source, stage.id, name)
    if not exact:
        wanted = say(f"import.name.{_NAMES.get(method, method)}") if method != stage.method else ""
        wanted = wanted or say(f"import.name.{family}")
        report.about.append(say("import.method", method=wanted, stage=say(f"stage.{stage.id}")))
    return report


def family_of(stage: str) -> str:
    """The family of a training that is open in the page; Stable Diffusion 1 and 2 for any other stage."""
    return STAGES[stage].family or "sd"
