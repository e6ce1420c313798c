"""What a run printed: parts of it, and where in it a text stands."""

from pathlib import Path
from typing import Any

PART_BYTES = 256_000
MAX_FOUND = 1000
SHOWN_LETTERS = 300


def before(path: Path, end: int) -> dict[str, Any]:
    """The part of the text that ends at a place, from the beginning of a line."""
    if not path.is_file():
        return {"text": "", "start": 0, "next_offset": 0, "size": 0}
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        end = max(0, min(end, size))
        start = stream.seek(max(0, end - PART_BYTES))
        data = stream.read(end - start)
    cut = data.find(b"\n") + 1 if start else 0
    text = data[cut:].decode("utf-8", errors="replace")
    return {"text": text, "start": start + cut, "next_offset": end, "size": size}


def part(path: Path, offset: int, complete: bool, newest: bool = False) -> dict[str, Any]:
    """The text from a place on (negative: counted from the end), at most a part of it, from `start` to `next_offset`.

    `complete`: nothing more will come. `newest`: of more than a part, the end.
    """
    if not path.is_file():
        return {"text": "", "start": 0, "next_offset": 0, "size": 0}
    with open(path, "rb") as stream:
        end = stream.seek(0, 2)
        start = max(0, end + offset) if offset < 0 else min(offset, end)
        if newest:
            start = max(start, end - PART_BYTES)
        asked = start == offset
        stream.seek(start)
        data = stream.read(PART_BYTES)
    if start and not asked:
        # Counted from the end, it may begin within a line.
        cut = data.find(b"\n") + 1
        start, data = start + cut, data[cut:]
    # Cut behind a whole line, so that no letter of several bytes is torn apart.
    reached_end = complete and start + len(data) == end
    whole = data if reached_end else data[: data.rfind(b"\n") + 1] or (data if complete else b"")
    text = whole.decode("utf-8", errors="replace")
    return {"text": text, "start": start, "next_offset": start + len(whole), "size": end}


def find(path: Path, text: str) -> dict[str, Any]:
    """How many lines hold a text, large or small letters alike, and the first of them with number and place (bytes)."""
    wanted, count, offset = text.casefold(), 0, 0
    lines: list[dict[str, Any]] = []
    if wanted and path.is_file():
        with open(path, "rb") as stream:
            for number, raw in enumerate(stream, 1):
                line = raw.decode("utf-8", errors="replace").rstrip()
                if wanted in line.casefold():
                    count += 1
                    if len(lines) < MAX_FOUND:
                        lines.append({"line": number, "offset": offset, "text": line[:SHOWN_LETTERS]})
                offset += len(raw)
    return {"count": count, "lines": lines}
