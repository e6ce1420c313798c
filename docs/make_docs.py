"""Writes the documents that follow from the declarations of the options: `make docs`, or this script by itself."""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The repository's root in place of this folder, so that nothing is loaded under two names.
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from docs.compatibility import compatibility  # noqa: E402
from docs.options import options  # noqa: E402

DOCUMENTS: dict[str, Callable[[], str]] = {
    "options.md": lambda: options("en"),
    "options-ja.md": lambda: options("ja"),
    "compatibility.md": compatibility,
}


if __name__ == "__main__":
    for name, make in DOCUMENTS.items():
        (ROOT / "docs" / name).write_text(make(), encoding="utf-8", newline="\n")
        print(f"Wrote docs/{name}")
