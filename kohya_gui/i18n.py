"""The page's words: every text of the locales, by key and language."""

import functools
import json
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "ja")
FALLBACK = "en"
LOCALES = Path(__file__).parent / "locales"


@functools.cache
def words(lang: str) -> dict[str, str]:
    """{dotted key: text} of a language, from its page file (`en.json`) and its server file (`server_en.json`)."""
    found: dict[str, str] = {}
    for path in (LOCALES / f"{lang}.json", LOCALES / f"server_{lang}.json"):
        if path.exists():
            found.update(_flat(json.loads(path.read_text(encoding="utf-8"))))
    return found


def t(key: str, lang: str = FALLBACK, **facts: Any) -> str:
    """The text of a key, its {facts} filled in. An unknown language is English.

    Errors: KeyError for a key that no locale has.
    """
    known = lang if lang in LANGUAGES else FALLBACK
    text = words(known).get(key) or words(FALLBACK)[key]
    return text.format(**facts) if facts else text


def _flat(tree: dict[str, Any], before: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, inner in tree.items():
        key = f"{before}{name}"
        flat.update(_flat(inner, f"{key}.") if isinstance(inner, dict) else {key: inner})
    return flat
