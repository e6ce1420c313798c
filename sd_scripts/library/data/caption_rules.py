"""From the text of a picture to the caption that is trained. Pure functions; needs no torch."""

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.library.seeds import derive
from sd_scripts.options.captions import CaptionOptions

# Braces that are meant as such, or a choice. What was taken is not given back, so that {a}} is a brace, a and a brace.
_WILDCARD = re.compile(r"\{\{|\}\}|\{((?:\{\{|\}\}|[^}])++)\}")

Lots = Callable[[str], random.Random]


@dataclass(frozen=True)
class CaptionRules:
    """How a text is changed each time it is shown; `caption_rules` makes them of options.

    `templates`: texts of which one is drawn by lot each time, in place of the picture's own.
    """

    separator: str = ","
    shuffle: bool = False
    keep_parts: int = 0
    keep_separator: str = ""
    secondary_separator: str = ""
    wildcards: bool = False
    prefix: str = ""
    suffix: str = ""
    dropout_rate: float = 0.0
    dropout_every_n_epochs: int = 0
    part_dropout_rate: float = 0.0
    warmup_min_parts: int = 1
    warmup_steps: float = 0.0
    templates: tuple[str, ...] = ()

    @property
    def changing(self) -> bool:
        """Whether a text has so many captions that keeping what the text encoder makes of them is of no use."""
        by_lot = self.shuffle or self.wildcards or bool(self.templates)
        return by_lot or self.part_dropout_rate > 0 or self.warmup_steps > 0

    @property
    def arranging(self) -> bool:
        """Whether captions are taken apart. Marks are always taken out: nobody wants to train them."""
        return self.shuffle or self.part_dropout_rate > 0 or self.warmup_steps > 0 or self.keep_separator != ""


class Parts(NamedTuple):
    """The parts of a caption: those in front and at the end stay as they are."""

    front: list[str]
    middle: list[str]
    end: list[str]


def caption_rules(options: CaptionOptions) -> CaptionRules:
    """The rules that options ask for. Errors: BadOption, for separators that cannot separate."""
    separator, secondary = options.caption_separator, options.secondary_separator or ""
    if not separator:
        raise BadOption("caption_separator", "--caption_separator must not be empty. Leave it out for a comma.")
    if separator in secondary:
        raise BadOption(
            "secondary_separator",
            f'--secondary_separator "{secondary}" has the caption_separator "{separator}" in it, which would split it. '
            "Use another mark, such as ;;;.",
        )
    return CaptionRules(
        separator=separator,
        shuffle=options.shuffle_caption,
        keep_parts=options.keep_tokens,
        keep_separator=options.keep_tokens_separator,
        secondary_separator=secondary,
        wildcards=options.enable_wildcard,
        prefix=options.caption_prefix or "",
        suffix=options.caption_suffix or "",
        dropout_rate=options.caption_dropout_rate,
        dropout_every_n_epochs=options.caption_dropout_every_n_epochs,
        part_dropout_rate=options.caption_tag_dropout_rate,
        warmup_min_parts=options.token_warmup_min,
        warmup_steps=options.token_warmup_step,
    )


def idle_options(rules: CaptionRules) -> dict[str, tuple[str, ...]]:
    """{option that was given and changes nothing: the options of which it needs one}."""
    idle: dict[str, tuple[str, ...]] = {}
    if rules.keep_parts and not (rules.shuffle or rules.part_dropout_rate or rules.warmup_steps):
        idle["keep_tokens"] = ("shuffle_caption", "caption_tag_dropout_rate", "token_warmup_step")
    if rules.warmup_min_parts != CaptionRules.warmup_min_parts and not rules.warmup_steps:
        idle["token_warmup_min"] = ("token_warmup_step",)
    return idle


def final_caption(text: str, rules: CaptionRules, item: Item, moment: Moment) -> str:
    """The caption of an item. What is drawn by lot derives from (seed, epoch, item); the step counts for the warm-up.

    With wildcards each line of the text is a caption by itself; without them the first line counts.
    """

    def lots(use: str) -> random.Random:
        return random.Random(derive(moment.seed, use, moment.epoch, *item))

    if is_dropped(rules, moment.epoch, lots):
        return ""
    if rules.templates:
        text = lots("caption_template").choice(rules.templates)
    caption = with_ends(one_line(text, rules.wildcards, lots), rules.prefix, rules.suffix)
    if rules.wildcards:
        caption = without_wildcards(caption, lots("caption_wildcards"))
    if rules.arranging:
        caption = arranged(caption, rules, moment, lots)
    return caption.replace(rules.secondary_separator, rules.separator) if rules.secondary_separator else caption


def is_dropped(rules: CaptionRules, epoch: int, lots: Lots) -> bool:
    """Whether the caption is left empty: by lot, or because all are in every n-th epoch (counted from 1)."""
    if rules.dropout_every_n_epochs and (epoch + 1) % rules.dropout_every_n_epochs == 0:
        return True
    return rules.dropout_rate > 0 and lots("caption_dropout").random() < rules.dropout_rate


def one_line(text: str, by_lot: bool, lots: Lots) -> str:
    """One of the lines that are not empty: the first, or any."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        return lines[0] if lines else ""
    return lots("caption_line").choice(lines) if by_lot else lines[0]


def with_ends(caption: str, prefix: str, suffix: str) -> str:
    """Prefix, caption and suffix with spaces between them."""
    return " ".join(part for part in (prefix, caption, suffix) if part)


def without_wildcards(caption: str, lot: random.Random) -> str:
    """One of the words of each {a|b|c}; {{ and }} become braces."""

    def chosen(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        return lot.choice(found[1].split("|")).replace("{{", "{").replace("}}", "}")

    return _WILDCARD.sub(chosen, caption)


def arranged(caption: str, rules: CaptionRules, moment: Moment, lots: Lots) -> str:
    """The parts between those that stay: fewer during the warm-up, shuffled, some left out. Joined by ", "."""
    front, middle, end = split_parts(caption, rules)
    middle = middle[: warm_count(len(middle), rules, moment)]
    if rules.shuffle:
        lots("caption").shuffle(middle)
    if rules.part_dropout_rate:
        lot = lots("caption_parts")
        middle = [part for part in middle if lot.random() >= rules.part_dropout_rate]
    return ", ".join(front + middle + end)


def split_parts(caption: str, rules: CaptionRules) -> Parts:
    """The parts of a caption, without empty ones. Where there is a mark, it says which stay, else their number."""

    def parts(text: str) -> list[str]:
        return [part.strip() for part in text.split(rules.separator) if part.strip()]

    if rules.keep_separator and rules.keep_separator in caption:
        front, middle, *end = caption.split(rules.keep_separator, 2)
        return Parts(parts(front), parts(middle), parts("".join(end)))
    every = parts(caption)
    return Parts(every[: rules.keep_parts], every[rules.keep_parts :], [])


def warm_count(count: int, rules: CaptionRules, moment: Moment) -> int:
    """How many of `count` parts are shown at this step: floor(step * (count - min) / warm-up steps) + min."""
    steps = rules.warmup_steps
    if steps < 1:
        steps = math.floor(steps * moment.total_steps)
    if moment.step >= steps:
        return count
    return math.floor(moment.step * (count - rules.warmup_min_parts) / steps) + rules.warmup_min_parts
