"""The tags that a tagger knows, in the order of its outputs, read from the file beside its model."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.reading import parse_json, read_text

GENERAL, CHARACTER, RATING, QUALITY = "general", "character", "rating", "quality"
CATEGORIES = (GENERAL, CHARACTER, "copyright", "artist", "meta", "model", RATING, QUALITY)

# Danbooru's numbers, as selected_tags.csv gives them.
_NUMBERED = {"0": GENERAL, "1": "artist", "3": "copyright", "4": CHARACTER, "5": "meta", "6": "model", "9": RATING}


@dataclass(frozen=True)
class TagTable:
    """Names and categories, one of each per output of the model. Only tags of CATEGORIES are ever written."""

    names: tuple[str, ...]
    categories: tuple[str, ...]

    def of(self, category: str) -> list[int]:
        """The places of a category's tags."""
        return [place for place, its in enumerate(self.categories) if its == category]

    def unknown(self) -> list[str]:
        """Categories that nobody here knows."""
        return sorted(set(self.categories) - set(CATEGORIES))


def read_table(path: Path) -> TagTable:
    """Reads selected_tags.csv or tag_mapping.json. Errors: BadFile."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as a table of tags ({error}).") from error
    rows = _csv_rows(text, path) if path.suffix.lower() == ".csv" else _json_rows(text, path)
    if not rows:
        raise BadFile(f"{path} names no tags. Download the tagger again with --force_download.")
    return TagTable(tuple(name for name, _ in rows), tuple(category for _, category in rows))


def _csv_rows(text: str, path: Path) -> list[tuple[str, str]]:
    reader = csv.DictReader(io.StringIO(text))
    if not {"name", "category"} <= set(reader.fieldnames or []):
        raise BadFile(f"{path} is no table of tags: its first line must name the columns name and category.")
    return [(row["name"], _NUMBERED.get(row["category"], f"number {row['category']}")) for row in reader]


def _json_rows(text: str, path: Path) -> list[tuple[str, str]]:
    """Of both forms: {"0": {"tag", "category"}}, and {"idx_to_tag": {"0": tag}, "tag_to_category": {tag: category}}."""
    try:
        found = parse_json(text)
        named = _joined(found) if "idx_to_tag" in found else {int(place): row for place, row in found.items()}
        return [(named[place]["tag"], named[place]["category"].lower()) for place in range(len(named))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{path} is no table of tags, which gives a tag and a category for every number from 0."
        ) from error


def _joined(found: dict[str, Any]) -> dict[int, dict[str, str]]:
    categories = found["tag_to_category"]
    return {int(place): {"tag": tag, "category": categories[tag]} for place, tag in found["idx_to_tag"].items()}
