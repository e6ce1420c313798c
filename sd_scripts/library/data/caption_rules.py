"""From the text of a picture to the caption that is trained. Pure functions; needs no torch."""

import random
from dataclasses import dataclass

from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.seeds import derive


@dataclass(frozen=True)
class CaptionRules:
    """How a text is changed each time it is shown."""

    separator: str = ","
    shuffle: bool = False
    keep_parts: int = 0

    @property
    def changing(self) -> bool:
        """Whether a picture may have another caption the next time."""
        return self.shuffle


def final_caption(text: str, rules: CaptionRules, item: Item, moment: Moment) -> str:
    """The caption of an item; what is drawn by lot derives from (seed, epoch, item)."""
    if not rules.shuffle:
        return text
    return shuffled(text, rules.separator, rules.keep_parts, derive(moment.seed, "caption", moment.epoch, *item))


def shuffled(text: str, separator: str, keep_parts: int, seed: int) -> str:
    """The text's parts with the first ones in their place and the rest shuffled, joined by ", ". Empty parts go."""
    parts = [part.strip() for part in text.split(separator)]
    parts = [part for part in parts if part]
    rest = parts[keep_parts:]
    random.Random(seed).shuffle(rest)
    return ", ".join(parts[:keep_parts] + rest)
