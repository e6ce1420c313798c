"""What is told is made harmless first: secrets are hidden, and signs that a terminal would obey are written out."""

import functools
import os
import re

HIDDEN = "***"
SHORTEST = 8
"""Shorter values are no secrets worth the name: hidden everywhere, they would make holes into words."""

_NAME = re.compile(r"(^|_)(\w*(?<!PER_)TOKEN|API_?KEY|ACCESS_KEY(_ID)?|PASSWORD|PASSWD|SECRET\w*)$", re.IGNORECASE)
# A token of the hub, wherever it stands; name and password within an address.
_SHAPES = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)")
_given: set[str] = set()

_LINES = {ord("\n"), ord("\t")}
_OBEYED = [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_WRITTEN = {sign: f"\\x{sign:02x}" if sign < 0x100 else f"\\u{sign:04x}" for sign in _OBEYED}
_WRITTEN_LINES = {sign: text for sign, text in _WRITTEN.items() if sign not in _LINES}


def is_secret_name(name: str) -> bool:
    """Whether an environment variable or an option of this name holds a secret: HF_TOKEN, wandb_api_key."""
    return bool(_NAME.search(name))


def keep_secret(value: str) -> None:
    """From now on a value is hidden wherever something is told."""
    if len(value) >= SHORTEST:
        _given.add(value)


def without_secrets(text: str) -> str:
    """The text with every known secret hidden: options', the environment's, the hub's tokens, addresses' passwords."""
    for secret in sorted(_given | _of_environment(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _SHAPES.sub(HIDDEN, text)


def for_terminal(text: str) -> str:
    """The text without secrets; what would move the cursor, change colours or turn letters around is written out.

    Lines and tabs stay.
    """
    return without_secrets(text).translate(_WRITTEN_LINES)


def in_one_line(text: str) -> str:
    """A name or caption for a place within a line: its line breaks are written out too."""
    return text.translate(_WRITTEN)


@functools.cache
def _of_environment() -> frozenset[str]:
    named = (value for name, value in os.environ.items() if is_secret_name(name))
    return frozenset(value for value in named if len(value) >= SHORTEST)
