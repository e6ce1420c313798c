"""Shows what would be trained: pictures, final captions, token counts, buckets."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sd_scripts.library.data.buckets import Size
from sd_scripts.library.data.dataset_facts import described
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.training_data import Example, Item, Moment, TrainingData
from sd_scripts.library.report import Report

SHOWN_PER_BUCKET = 5


def show(
    data: TrainingData,
    token_count: Callable[[str], int],
    report: Report,
    *,
    max_tokens: int = 75,
    seed: int = 0,
    total_steps: int = 1,
    per_bucket: int = SHOWN_PER_BUCKET,
) -> None:
    """Prints the buckets with their first pictures as the first epoch trains them, then the totals; tells the page too.

    `token_count`: tokens of a caption before anything is cut off. The longest caption is looked for at the last step,
    when no warm-up holds parts of it back.
    """
    start, end = (Moment(seed=seed, step=step, total_steps=total_steps) for step in (0, total_steps))
    plan = data.plan(0, seed)
    for line in described(data):
        report.say(line)
    items = sorted(item for batch in plan for item in batch)
    longest = max((token_count(data.caption(item, end)) for item in items), default=0)
    buckets = _by_bucket(data, items)
    rows = []
    for (width, height), first in buckets.items():
        report.say(f"Bucket {width} x {height}: {_counted(len(first), 'picture')}")
        for item in first[:per_bucket]:
            row = _row(data, item, token_count, start)
            report.say(_line(row, max_tokens))
            rows.append(row)
        if len(first) > per_bucket:
            report.say(f"  ... and {len(first) - per_bucket:,} more")
    table = [{"width": w, "height": h, "images": len(found)} for (w, h), found in buckets.items()]
    pictures = sum(len(found) for found in buckets.values())
    text = (
        f"{_counted(pictures, 'picture')} in {_counted(len(buckets), 'bucket')}; "
        f"{_counted(len(items), 'showing')} in {_counted(len(plan), 'batch', 'batches')} an epoch; "
        f"the longest caption has {longest:,} of {max_tokens} tokens."
    )
    counts = {"pictures": pictures, "items": len(items), "batches": len(plan), "longest_caption_tokens": longest}
    report.summary(text, {"buckets": table, "pictures": rows}, **counts)


def _by_bucket(data: TrainingData, items: list[Item]) -> dict[Size, list[Item]]:
    """Each picture once, whatever its repeats, by the size that it is trained in."""
    buckets: defaultdict[Size, list[Item]] = defaultdict(list)
    for item in items:
        if item.repeat == 0:
            buckets[data.images[item.image].bucket_px].append(item)
    return dict(sorted(buckets.items()))


def _row(data: TrainingData, item: Item, token_count: Callable[[str], int], moment: Moment) -> dict[str, Any]:
    image = data.images[item.image]
    row = {"path": str(image.path), "width": image.bucket_px[0], "height": image.bucket_px[1]}
    caption = data.caption(item, moment)
    return row | {"caption": caption, "tokens": token_count(caption), "read_as": _read_as(data, item, moment)}


def _read_as(data: TrainingData, item: Item, moment: Moment) -> str:
    """What the picture gives: latents or pixels, how it was seen, its mask and weight; or the reason why nothing."""
    try:
        example: Example = data.load(item, moment)
    except UnreadableImage as error:
        return f"nothing: {error}"
    pixels, latents_CHW = example.pixels_CHW, example.latents_CHW
    parts = [f"pixels {_shape(pixels)}" if latents_CHW is None else f"latents {_shape(latents_CHW)}"]
    parts += [example.seen] if example.seen else []
    if example.mask_HW is not None:
        parts.append(f"{float(example.mask_HW.mean()):.0%} of it counts")
    parts += [] if example.weight == 1.0 else [f"weight {example.weight:g}"]
    parts += [] if example.strength == 1.0 else [f"network at {example.strength:g}"]
    return ", ".join(parts)


def _shape(tensor: Any) -> str:
    return " x ".join(map(str, tensor.shape))


def _line(row: dict[str, Any], max_tokens: int) -> str:
    cut = ", cut off" if row["tokens"] > max_tokens else ""
    caption = row["caption"] or "(no caption)"
    return f"  {row['path']} ({row['read_as']})\n    {caption} [{_counted(row['tokens'], 'token')}{cut}]"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
