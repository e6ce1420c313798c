"""Text files beside pictures, as they are on disk."""

import os
from dataclasses import dataclass
from pathlib import Path

from kohya_gui.dataset.gate import Gate
from kohya_gui.found import Stamp, stamp_of
from kohya_gui.words import Reason
from sd_scripts.library.data.captions import UnreadableText, read_caption

LONGEST_TEXT_BYTES = 1_000_000
"""A file that is longer is no text of a picture."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """What a file held when it was read; `stamp` is None where there is none. `trouble`: why it cannot be used."""

    text: str = ""
    encoding: str = ""
    stamp: Stamp | None = None
    trouble: Reason | None = None


NO_FILE = TextFile()


def read_text_file(place: str, gate: Gate) -> TextFile:
    """What a file holds; what cannot be read or reached says why."""
    stamp = stamp_of(place)
    if stamp is None and not os.path.islink(place):
        return NO_FILE
    if not gate.lets(place):
        return TextFile(stamp=stamp, trouble=Reason("dataset.outside"))
    if stamp and stamp[1] > LONGEST_TEXT_BYTES:
        return TextFile(stamp=stamp, trouble=Reason("dataset.text_too_long"))
    try:
        found = read_caption(Path(place))
    except UnreadableText as error:
        return TextFile(stamp=stamp, trouble=Reason("dataset.why", {"why": str(error)}))
    return TextFile(found.text, found.encoding, stamp) if found else NO_FILE


def tidy(text: str) -> str:
    """A text as a file will hold it: its ends stripped, its line ends \\n. Reading it again gives the same."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def tags_in(text: str) -> list[str]:
    """The tags of a text: its parts between commas, on whatever line."""
    return [tag for part in text.replace("\n", ",").split(",") if (tag := part.strip())]
