"""Captions for a new word that stand in for those of the pictures. Needs no torch."""

import functools
import tomllib
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("caption_templates.toml")
_KINDS = {"use_object_template": "object", "use_style_template": "style"}


@functools.cache
def templates() -> dict[str, list[str]]:
    """{object or style: captions in which {} stands for the word}."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def asked_templates(given: dict[str, Any]) -> tuple[str, ...]:
    """The captions that options ask for, by option; none where each picture has its own."""
    asked = [kind for option, kind in _KINDS.items() if given.get(option)]
    return tuple(text.replace("{}", given.get("token_string") or "") for kind in asked for text in templates()[kind])
