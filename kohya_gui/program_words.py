"""What the scripts say, in the reader's language: finished sentences are matched with those of a catalogue.

Scripts speak English, in the terminal and in their events. locales/program_ja.json has a line for each sentence,
{English: Japanese}, both with {placeholders} for what changes. `sentences` are those of sd_scripts (a test compares
them with the sources), `others` are messages of the system and of Python that stand within them, and words that are put
together. In the Japanese, `{what}` is put in as it is (names, paths, numbers), `{what:text}` is read in turn.
"""

import functools
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kohya_gui.i18n import FALLBACK, LOCALES

# What is said in no catalogue's words may be anything: it is not read for ever.
DEEPEST = 6
LONGEST = 2000
MOST_SENTENCES = 8

_PLACE = re.compile(r"\{(\w*)\}")
_FILLED = re.compile(r"\{(\w+)(:text)?\}")
_AND_OR = (" and ", " or ")
_COUNTED = re.compile(r"([\d,]+) (.+)", re.DOTALL)
_NAME = re.compile(r"\S*|--\w+ \S+")
_JOINTS = {"; ": "。", ", ": "、", " and ": " と ", " or ": " または "}


@dataclass(frozen=True)
class Template:
    """A sentence: what stands between its placeholders, their names, and what is said instead.

    `texts` are the placeholders that are read too; `letters`: it has words of its own; `anchor`: its
    longest piece, by which most texts are told apart from it at once.
    """

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    said: str
    texts: tuple[str, ...]
    letters: bool
    anchor: str

    @classmethod
    def of(cls, key: str, said: str) -> "Template":
        """From a line of the catalogue."""
        parts = _PLACE.split(key)
        texts = tuple(name for name, is_text in _FILLED.findall(said) if is_text)
        letters = any(letter.isalpha() for piece in parts[::2] for letter in piece)
        return cls(tuple(parts[::2]), tuple(parts[1::2]), said, texts, letters, max(parts[::2], key=len))

    def filled(self, values: dict[str, str]) -> str:
        """What is said, with these values."""
        return _FILLED.sub(lambda place: values[place[1]], self.said)

    def values(self, text: str) -> dict[str, str] | None:
        """What stands at the placeholders of a text; None where it is another sentence. Takes linear time."""
        first, *between = self.pieces
        if not between:
            return {} if text == first else None
        last = between.pop()
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return None
        values, at = [], len(first)
        for piece in between:
            found = text.find(piece, at, end)
            if found < 0:
                return None
            values.append(text[at:found])
            at = found + len(piece)
        return dict(zip(self.names, [*values, text[at:end]], strict=True))


class Reading(NamedTuple):
    """A text in another language, and how many of its letters are known words, not values."""

    said: str
    known: int


def pattern(key: str) -> str:
    """A line's English with nameless placeholders: lines of one pattern are the same sentence."""
    return _PLACE.sub("{}", key)


def catalogue(lang: str = "ja", part: str = "sentences") -> dict[str, str]:
    """{English: said in that language} of a part of the catalogue; nothing for a language without one."""
    path = LOCALES / f"program_{lang}.json"
    found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found.get(part, {})


def program_words(text: str, lang: str) -> str:
    """A sentence of a script in a language; as it is, where the catalogue has none for it."""
    return text if lang == FALLBACK else _read(text, lang, 0).said


@functools.cache
def _templates(lang: str) -> list[Template]:
    lines = {**catalogue(lang), **catalogue(lang, "others")}
    # Some sentences are written with the space before them; where they are one in a row it belongs to no sentence.
    lines |= {key.lstrip(): said for key, said in lines.items() if key.startswith(" ")}
    return [Template.of(key, said) for key, said in lines.items()]


@functools.lru_cache(maxsize=4096)
def _read(text: str, lang: str, depth: int) -> Reading:
    """The reading that knows most of a text's letters. `depth`: of how many others it is a part."""
    if depth > DEEPEST or len(text) > LONGEST:
        return Reading(text, 0)
    return max(_phrase(text, lang, depth), _sentences(text, lang, depth), key=_known)


def _phrase(text: str, lang: str, depth: int) -> Reading:
    readings = [reading for way in (_matched, _counted, _listed) for reading in way(text, lang, depth + 1)]
    return max(readings, key=_known, default=Reading(text, 0))


def _sentences(text: str, lang: str, depth: int) -> Reading:
    """Sentences in a row. The last one may have lost its full stop to the sentence around it."""
    for found in itertools.islice(re.finditer(r"\. ", text), MOST_SENTENCES):
        head, tail = text[: found.start()], text[found.end() :].removesuffix(".")
        first = max(_phrase(f"{head}.", lang, depth), _phrase(head, lang, depth), key=_known)
        if first.known:
            rest = max(_read(f"{tail}.", lang, depth + 1), _read(tail, lang, depth + 1), key=_known)
            said = f"{first.said.removesuffix('。')}。{rest.said.removesuffix('。')}"
            return Reading(said + ("。" if text.endswith(".") else ""), first.known + rest.known)
    return Reading(text, 0)


def _known(reading: Reading) -> int:
    return reading.known


def _matched(text: str, lang: str, depth: int) -> Iterator[Reading]:
    """As a line of the catalogue. One without words of its own, such as {file}: {reason}, must find some within."""
    for template in _templates(lang):
        values = template.values(text) if template.anchor in text else None
        if values is not None:
            inner = {name: _read(values[name], lang, depth) for name in template.texts if values[name] != text}
            filled = values | {name: reading.said for name, reading in inner.items()}
            if template.letters or any(reading.known for reading in inner.values()):
                own = sum(map(len, template.pieces)) if template.letters else 0
                known = own + sum(reading.known for reading in inner.values())
                yield Reading(template.filled(filled), known)


def _counted(text: str, lang: str, depth: int) -> Iterator[Reading]:
    """How many of what: `3 cannot be read`."""
    number = _COUNTED.fullmatch(text)
    of_what = _read(number[2], lang, depth) if number else None
    if number and of_what and of_what.known:
        yield Reading(f"{number[1]} 件は{of_what.said}", of_what.known)


def _listed(text: str, lang: str, depth: int) -> Iterator[Reading]:
    """A list of what is known, of flags, names and single words."""
    for mark, joint in _JOINTS.items():
        parts = text.split(mark)
        if len(parts) < 2:
            continue
        said = [_read(part, lang, depth) for part in parts]
        known = sum(reading.known for reading in said)
        is_list = all(reading.known or _NAME.fullmatch(part) for reading, part in zip(said, parts, strict=True))
        if is_list and (known or mark in _AND_OR):
            yield Reading(joint.join(reading.said for reading in said), known + len(mark))
