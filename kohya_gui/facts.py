"""What a start means in figures: images, batches, steps, files. Computed from metadata, without torch."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kohya_gui import found
from kohya_gui.draft import Draft
from kohya_gui.words import say, size
from sd_scripts.library.io.headers import ModelFacts

Fact = tuple[str, str]

_BYTES = {"float": 4, "fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True)
class TrainingPlan:
    """What a training will do. `saves` counts the final model too, and after old ones were removed."""

    images: int
    repeats: int
    buckets: int
    batches: int
    steps: int
    epochs: int
    saves: int


def training_plan(draft: Draft) -> TrainingPlan | None:
    """The plan of a training, from its metadata; None as long as there is none, and where others are trained."""
    if draft.get("dataset_config") or draft.get("dataset_class"):
        return None
    path = draft.path("in_json")
    entries = found.metadata_at(path) if path and path.is_file() and not draft.will_come(path) else None
    if not entries or isinstance(entries, str):
        return None
    repeats, batch = draft.get("dataset_repeats") or 1, draft.get("train_batch_size") or 1
    texts = [entry for entry in entries.values() if entry.get("caption") or entry.get("tags")]
    buckets = Counter(tuple(entry.get("train_resolution", ())) for entry in texts)
    batches = sum(-(-count * repeats // batch) for count in buckets.values())
    if not batches:
        return None
    steps_per_epoch = -(-batches // (draft.get("gradient_accumulation_steps") or 1))
    wanted = draft.get("max_train_epochs")
    steps = wanted * steps_per_epoch if wanted else draft.get("max_train_steps")
    epochs = -(-steps // steps_per_epoch)
    return TrainingPlan(len(texts), repeats, len(buckets), batches, steps, epochs, _saves(draft, steps, epochs))


def _saves(draft: Draft, steps: int, epochs: int) -> int:
    ratio, every_steps = draft.get("save_n_epoch_ratio"), draft.get("save_every_n_steps")
    every_epochs = max(1, epochs // ratio) if ratio else draft.get("save_every_n_epochs")
    # The last epoch is saved as the end, not once more.
    by_epoch = (epochs - 1) // every_epochs if every_epochs else 0
    by_step = steps // every_steps if every_steps else 0
    if draft.get("save_last_n_epochs"):
        by_epoch = min(by_epoch, draft.get("save_last_n_epochs"))
    if every_steps and draft.get("save_last_n_steps"):
        by_step = min(by_step, 1 + draft.get("save_last_n_steps") // every_steps)
    return by_epoch + by_step + 1


def saved_bytes(draft: Draft, model: ModelFacts | None) -> float | None:
    """How large a saved model will be, from the size of the base model and the formats of both."""
    if model is None:
        return None
    # Weights are trained and saved in float32, unless the user asks for less.
    trained = "fp16" if draft.get("full_fp16") else "bf16" if draft.get("full_bf16") else "float"
    saved = draft.get("save_precision") or trained
    return model.size_bytes * _BYTES[saved] / _BYTES.get(model.dtype or "", 4)


def _train_facts(draft: Draft) -> list[Fact]:
    plan = training_plan(draft)
    facts: list[Fact] = []
    if plan:
        total = f"{plan.images:,} × {plan.repeats:,} = {plan.images * plan.repeats:,}"
        facts = [
            (say("fact.images"), total),
            (say("fact.batches"), say("fact.batches_in_buckets", batches=plan.batches, n=plan.buckets)),
            (say("fact.steps"), say("fact.steps_in_epochs", steps=plan.steps, n=plan.epochs)),
        ]
    elif not draft.get("max_train_epochs"):
        facts = [(say("fact.steps"), f"{draft.get('max_train_steps'):,}")]
    name, folder = draft.get("pretrained_model_name_or_path"), draft.path("output_dir")
    each = saved_bytes(draft, found.model_at(Path(name))) if name else None
    if folder and each:
        sizes = {"size": size(each), "free": found.size_free(folder)}
        saves = say("fact.saves_of", n=plan.saves, **sizes) if plan else say("fact.saves_each", **sizes)
        facts.append((say("fact.saves"), saves))
    return facts


def _picture_facts(draft: Draft) -> list[Fact]:
    folder = draft.path("train_data_dir")
    if folder is None or not folder.is_dir():
        return []
    images = found.pictures_in(folder)
    facts = [(say("fact.images"), f"{images.images or images.below:,}")]
    extension = draft.get("caption_extension")
    if extension:
        facts.append((say("fact.texts", ext=extension), f"{images.texts[extension]:,}"))
    return facts


def _latents_facts(draft: Draft) -> list[Fact]:
    facts = _picture_facts(draft)
    path = draft.path("in_json")
    entries = found.metadata_at(path) if path and path.is_file() else None
    if entries and not isinstance(entries, str):
        facts.append((say("fact.entries"), f"{len(entries):,}"))
    return facts


FACTS: dict[str, Callable[[Draft], list[Fact]]] = {
    "caption": _picture_facts,
    "tag": _picture_facts,
    "metadata": _latents_facts,
    "latents": _latents_facts,
    "train": _train_facts,
}
