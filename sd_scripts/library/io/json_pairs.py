"""JSON objects read and written pair by pair, so that a file of any size takes the memory of one of its values."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from json import JSONDecodeError
from json.encoder import encode_basestring
from typing import Any, TextIO

WINDOW_LETTERS = 1 << 20
LONGEST_LETTERS = 1 << 24
"""A pair longer than this is taken for damage: what cannot be read is not read on to the end of a vast file."""

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN_KEY = re.compile(r'[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
_NEXT_PLAIN_KEY = re.compile(r"[ \t\n\r]*," + _PLAIN_KEY.pattern)
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_NEXT = re.compile(r"[ \t\n\r]*([,}])")
_KINDS = {"[": "list", '"': "text"}
_decode = json.JSONDecoder().raw_decode
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # it is not documented, and as old as the module


class NoObject(ValueError):
    """The file holds JSON of another kind; the text names it."""


def read_pairs(file: TextIO) -> Iterator[tuple[str, Any]]:
    """The pairs of the object that a file holds, in order; a key that comes twice is given twice.

    Errors: JSONDecodeError, with the place in the whole file; NoObject; RecursionError; UnicodeDecodeError.
    """
    window = _Window(file)
    more = _begins(window)
    while more:
        yield from window.plain_pairs()
        key, value, more = window.read(_pair)
        yield key, value
    window.read(_end)


def write_pairs(file: TextIO, pairs: Iterable[tuple[str, Any]]) -> int:
    """Writes pairs as one object with two spaces of indent and non-ASCII as itself, as `json.dump` would; their number.

    Values are as JSON has them: dicts with texts as keys, lists, texts, numbers, booleans and None.
    """
    count = 0
    for key, value in pairs:
        file.write(f"{',' if count else '{'}\n  {encode_basestring(key)}: {_indented(value, '  ')}")
        count += 1
    file.write("\n}\n" if count else "{}\n")
    return count


class _Window:
    """The part of a file that is looked at."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = file.read(WINDOW_LETTERS)
        self._at = 0
        self._left = 0

    def read(self, parse: Any) -> Any:
        """What `parse(text, at)` finds, which gives the end behind it first; reads on as long as it finds nothing."""
        while True:
            try:
                end, *found = parse(self._text, self._at)
            except JSONDecodeError as error:
                if not self._grow():
                    self._place(error)
                    raise
            else:
                self._at = end
                return found

    def plain_pairs(self) -> Iterator[tuple[str, Any]]:
        """The pairs from here on that lie whole in the window and are followed by another, with keys without escapes.

        That is nearly all of them, at a third of the time of `read`; before the first one that is not, it ends.
        """
        text = self._text
        key = _PLAIN_KEY.match(text, self._at)
        while key:
            try:
                value, end = _scan(text, key.end())
            except (StopIteration, JSONDecodeError):
                return
            following = _NEXT_PLAIN_KEY.match(text, end)
            if following is None:
                return
            self._at = following.start(1) - 1
            yield key[1], value
            key = following

    def _grow(self) -> bool:
        """Leaves what was read, and reads on; False where there is no more, or it would be too much."""
        rest = self._text[self._at :]
        more = self._file.read(max(WINDOW_LETTERS, len(rest))) if len(rest) < LONGEST_LETTERS else ""
        if not more:
            return False
        self._left += self._at
        self._text, self._at = rest + more, 0
        return True

    def _place(self, error: JSONDecodeError) -> None:
        """Gives an error its place in the file: only now lines are counted, of what was left behind."""
        self._file.seek(0)
        lines, letters, left = 0, 0, self._left
        while left and (part := self._file.read(min(left, WINDOW_LETTERS))):
            left -= len(part)
            lines += part.count("\n")
            letters = len(part) - part.rfind("\n") - 1 + (0 if "\n" in part else letters)
        error.colno += letters if error.lineno == 1 else 0
        error.lineno += lines


def _begins(window: _Window) -> bool:
    """Steps into the object. Gives whether it holds anything."""
    (opening,) = window.read(_first)
    if opening != "{":
        raise NoObject(_KINDS.get(opening, "value"))
    (closes,) = window.read(_closing)
    return not closes


def _first(text: str, at: int) -> tuple[int, str]:
    at = _after_space(text, at)
    if text[at] == "[":
        # What is nested too deeply is no list but damage. A list's end may lie behind the window.
        with suppress(JSONDecodeError):
            _decode(text, at)
    if text[at] == "{" or text[at] in _KINDS:
        return at + 1, text[at]
    _decode(text, at)
    return at + 1, text[at]


def _closing(text: str, at: int) -> tuple[int, bool]:
    at = _after_space(text, at)
    return (at + 1, True) if text[at] == "}" else (at, False)


def _end(text: str, at: int) -> tuple[int]:
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
    if at < len(text):
        raise JSONDecodeError("Extra data", text, at)
    return (at,)


def _pair(text: str, at: int) -> tuple[int, str, Any, bool]:
    at = _after_space(text, at)
    if text[at] != '"':
        raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    key, at = _decode(text, at)
    colon = _COLON.match(text, at)
    if not colon:
        raise JSONDecodeError("Expecting ':' delimiter", text, at)
    value, at = _decode(text, colon.end())
    after = _NEXT.match(text, at)
    if not after:
        raise JSONDecodeError("Expecting ',' delimiter", text, at)
    return after.end(), key, value, after[1] == ","


def _after_space(text: str, at: int) -> int:
    """The place of the next letter that is no space."""
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
    if at == len(text):
        raise JSONDecodeError("Expecting value", text, at)
    return at


def _indented(value: Any, indent: str) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int:
        return repr(value)
    deeper = f"{indent}  "
    if isinstance(value, dict) and value:
        inner = [
            # Most values are texts: they are spared a call.
            f"{encode_basestring(key)}: {encode_basestring(one) if type(one) is str else _indented(one, deeper)}"
            for key, one in value.items()
        ]
        return f"{{\n{deeper}" + f",\n{deeper}".join(inner) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return f"[\n{deeper}" + f",\n{deeper}".join([_indented(one, deeper) for one in value]) + f"\n{indent}]"
    return json.dumps(value)
