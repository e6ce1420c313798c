"""What a start means in figures: images, batches, steps, files, memory, time; each with what it rests on."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kohya_gui import found, pictures
from kohya_gui.asked_buckets import latents_bytes, possible_buckets
from kohya_gui.counted import Counted
from kohya_gui.devices import Gpu
from kohya_gui.draft import Draft
from kohya_gui.looking import Sizes
from kohya_gui.memory import Memory, gpus_of, memory_of, optimizer_of, state_bytes
from kohya_gui.past import Past
from kohya_gui.training_plan import Saves, TrainingPlan, save_bytes, training_plan
from kohya_gui.try_facts import counted_pictures
from kohya_gui.words import duration, label, say, size
from sd_scripts.library.io.headers import ModelFacts

Row = tuple[str, str]


class Fact(NamedTuple):
    """A figure in words. `note` says what it rests on; `rows` are its parts, for whoever opens it.

    `unfinished`: whoever asks again soon hears more. `offer`: the words of a button that finds out more.
    """

    name: str
    value: str
    note: str = ""
    rows: tuple[Row, ...] = ()
    unfinished: bool = False
    offer: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fact as the page takes it."""
        return {
            "name": self.name,
            "value": self.value,
            "note": self.note,
            "rows": [list(row) for row in self.rows],
            "offer": self.offer,
        }


def saved_bytes(draft: Draft, model: ModelFacts | None) -> float | None:
    """How large a saved model will be; None where the base model is not known, and of what is no model."""
    return save_bytes(draft, model.size_bytes, model.dtype) if model and draft.stage.saves_whole_models else None


def needed_bytes(draft: Draft, plan: TrainingPlan | None) -> float | None:
    """The disk that all models and states take which stay; None where the base model is not known."""
    name = draft.path("pretrained_model_name_or_path")
    each = saved_bytes(draft, found.model_at(name) if name else None)
    if each is None:
        return None
    return each * (plan.saves if plan else 1) + (state_bytes(draft) or 0) * (plan.states if plan else 0)


def estimates(draft: Draft, past: Past | None) -> list[Fact]:
    """What an earlier run tells of this one, and a formula where it tells nothing."""
    total = _total(draft)
    facts = _memory_facts(draft, past) if draft.stage.trains else []
    if past and total:
        left = duration(past.pace.of(total))
        facts.append(Fact(say("fact.time"), say("fact.about", what=left), _basis(draft, past)))
    return facts


def _total(draft: Draft) -> int:
    """Steps of a training; pictures of the other stages."""
    if draft.stage.trains:
        plan = training_plan(draft)
        return plan.steps if plan else 0
    folder = draft.path("train_data_dir")
    return pictures.facts_of(folder).images if folder and folder.is_dir() else 0


def _basis(draft: Draft, past: Past) -> str:
    if not past.differs:
        return say("fact.as_run", name=past.name)
    # Two fields may be called the same.
    labels = dict.fromkeys(label(draft.stage.id, draft.stage.tab, flag) for flag in past.differs)
    return say("fact.as_run_other", name=past.name, labels=say("fact.comma").join(labels))


def _memory_facts(draft: Draft, past: Past | None) -> list[Fact]:
    gpus = gpus_of(draft)
    offer = say("fit.do" if gpus else "fit.do_cpu")
    if gpus and past and past.memory_bytes and not past.differs:
        return [Fact(say("fact.memory"), _of(past.memory_bytes, gpus), _basis(draft, past), offer=offer)]
    memory = memory_of(draft)
    if memory is None:
        return []
    key = "memory_formula" if gpus else "memory_formula_several" if memory.processes > 1 else "memory_formula_cpu"
    note = say(f"fact.{key}", size=_px(memory.size_px), processes=memory.processes)
    known = memory.footprint.optimizer is not None
    told = say("fact.about" if known else "fact.at_least", what=_of(memory.total, gpus))
    return [Fact(say("fact.memory"), told, note, tuple(_memory_rows(draft, memory)), offer=offer)]


def _memory_rows(draft: Draft, memory: Memory) -> Iterator[Row]:
    parts = memory.footprint
    kept = say("fact.unknown") if parts.optimizer is None else size(parts.optimizer)
    yield say("fact.weights"), size(parts.trained + parts.frozen)
    if parts.average:
        yield say("fact.average"), size(parts.average)
    yield say("fact.gradients"), size(parts.gradients)
    yield optimizer_of(draft), say("fact.paged", what=kept) if parts.paged else kept
    yield say("fact.activations"), size(parts.activations)
    if memory.process:
        yield say("fact.process"), size(memory.process)
    if memory.processes > 1:
        yield say("fact.processes"), f"{memory.processes} × {size(memory.each)}"


def _px(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]} × {size_px[1]}"


def _of(amount_bytes: float, gpus: list[Gpu]) -> str:
    """An amount beside the memory of the GPUs, of which the smallest counts: each holds as much."""
    if not gpus:
        return size(amount_bytes)
    whole = size(min(gpu.memory_bytes for gpu in gpus))
    told = say("fact.of", part=size(amount_bytes), whole=whole)
    return say("fact.on_each", what=told) if len(gpus) > 1 else told


def _train_facts(draft: Draft) -> list[Fact]:
    plan = training_plan(draft)
    facts: list[Fact] = []
    if plan:
        facts = [_images(plan.data), _batches(plan), *_steps(draft, plan)]
    elif not draft.get("max_train_epochs"):
        facts = [Fact(say("fact.steps"), f"{draft.get('max_train_steps'):,}")]
    name, folder = draft.path("pretrained_model_name_or_path"), draft.path("output_dir")
    each = saved_bytes(draft, found.model_at(name) if name else None)
    if folder and each:
        sizes = {"size": size(each), "free": found.size_free(folder)}
        if plan is None:
            return [*facts, Fact(say("fact.saves"), say("fact.saves_each", **sizes))]
        facts.append(Fact(say("fact.saves"), say("fact.saves_of", n=plan.saves, **sizes), rows=_kept(plan)))
        facts.append(_disk(draft, plan, each))
    elif plan and not draft.stage.saves_whole_models:
        facts.append(Fact(say("fact.saves"), f"{plan.saves:,}", rows=_kept(plan)))
    return facts


def _images(data: Counted) -> Fact:
    shown = sum(source.shown for source in data.sources)
    images = sum(source.images for source in data.sources)
    if len(data.sources) == 1 and shown == images * (shown // images):
        return Fact(say("fact.images"), f"{images:,} × {shown // images:,} = {shown:,}")
    rows = tuple((one.name, say("fact.shown", n=one.images, shown=one.shown)) for one in data.sources)
    return Fact(say("fact.images"), say("fact.shown", n=images, shown=shown), rows=rows)


def _batches(plan: TrainingPlan) -> Fact:
    if plan.data.unread:
        value = say("fact.at_least", what=f"{plan.batches:,}")
        return Fact(say("fact.batches"), value, say("fact.unread", n=plan.data.unread), unfinished=True)
    largest = sorted(plan.data.buckets, key=lambda one: -one.shown)
    rows = tuple(
        (_px(one.size_px), say("fact.bucket", n=one.batches, shown=one.shown)) for one in largest if one.size_px
    )
    text = say("fact.batches_in_buckets", batches=plan.batches, n=len(plan.data.buckets))
    return Fact(say("fact.batches"), text, rows=rows)


def _steps(draft: Draft, plan: TrainingPlan) -> list[Fact]:
    value = say("fact.steps_in_epochs", steps=plan.steps, n=plan.epochs)
    one = Fact(say("fact.steps_per_epoch"), f"{plan.steps_per_epoch:,}")
    return [one, Fact(say("fact.steps"), value)]


def _kept(plan: TrainingPlan) -> tuple[Row, ...]:
    return tuple((_names(saves), say(f"fact.kept_{saves.kind}", n=saves.every)) for saves in plan.kept)


def _names(saves: Saves) -> str:
    return saves.last.name if saves.count == 1 else f"{saves.first.name} … {saves.last.name}"


def _disk(draft: Draft, plan: TrainingPlan, each: float) -> Fact:
    rows = [(say("fact.models"), f"{plan.saves:,} × {size(each)}")]
    state = state_bytes(draft)
    if plan.states:
        rows.append((say("fact.states"), f"{plan.states:,} × {size(state) if state else say('fact.unknown')}"))
    needed = needed_bytes(draft, plan) or 0
    text = size(needed) if state or not plan.states else say("fact.at_least", what=size(needed))
    return Fact(say("fact.disk"), text, rows=tuple(rows) if plan.states else ())


def _picture_facts(draft: Draft) -> list[Fact]:
    folder = draft.path("train_data_dir")
    if folder is None or not folder.is_dir():
        return []
    images = pictures.facts_of(folder)
    facts = [Fact(say("fact.images"), f"{images.images or images.below:,}")]
    extension = draft.get("caption_extension")
    if extension:
        facts.append(Fact(say("fact.texts", ext=extension), f"{images.texts[extension]:,}"))
    return facts


def _metadata_facts(draft: Draft) -> list[Fact]:
    facts = _picture_facts(draft)
    path = draft.path("in_json")
    entries = found.metadata_at(path) if path and path.is_file() else None
    if entries and not isinstance(entries, str):
        facts.append(Fact(say("fact.entries"), f"{len(entries):,}"))
    return facts


def _latents_facts(draft: Draft) -> list[Fact]:
    """Pictures, the buckets that they come into, how much of them is cut away, and the disk that latents take."""
    facts, folder, rules = _metadata_facts(draft), draft.path("train_data_dir"), possible_buckets(draft)
    if folder is None or rules is None or not folder.is_dir() or draft.get("recursive"):
        return facts
    sizes = Sizes()
    known = [size_px for size_px in sizes.of(pictures.files_in(folder)).values() if size_px]
    if sizes.unread:
        note = say("fact.unread", n=sizes.unread)
        return [*facts, Fact(say("fact.buckets"), "…", note, unfinished=True)]
    fits = [(size_px, fit) for size_px in known if (fit := rules.fit(size_px))]
    if not fits:
        return facts
    buckets = Counter(fit.bucket_px for _, fit in fits)
    rows = tuple((f"{w} × {h}", f"{n:,}") for (w, h), n in buckets.most_common())
    cut = sum(1 - _area(fit.bucket_px) / _area(fit.resized_px) for _, fit in fits) / len(fits)
    larger = sum(fit.resized_px[0] > size_px[0] for size_px, fit in fits)
    disk = sum(latents_bytes(fit.bucket_px, draft.get("flip_aug")) for _, fit in fits)
    return [
        *facts,
        Fact(say("fact.buckets"), f"{len(buckets):,}", rows=rows),
        Fact(say("fact.cut"), f"{cut:.1%}", say("fact.enlarged", n=larger) if larger else ""),
        Fact(say("fact.disk"), size(disk), say("fact.free", free=found.size_free(folder))),
    ]


def _try_facts(draft: Draft) -> list[Fact]:
    counted = counted_pictures(draft)
    return [Fact(say("fact.try_pictures"), f"{counted[0]:,}", counted[1])] if counted else []


def _area(size_px: tuple[int, int]) -> int:
    return size_px[0] * size_px[1]


FACTS: dict[str, Callable[[Draft], list[Fact]]] = {
    "caption": _picture_facts,
    "tag": _picture_facts,
    "metadata": _metadata_facts,
    "latents": _latents_facts,
    "train": _train_facts,
    "tools": lambda draft: [],
    "try": _try_facts,
}
