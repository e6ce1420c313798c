"""The least code that does what the metadata programs do; for benchmarks/metadata.py, which measures the process.

`python benchmarks/bare_metadata.py merge|copy|clean|train WORDS`
"""

import json
import os
import sys
from json.encoder import encode_basestring
from typing import Any


def merge(folder: str, ending: str, field: str, before: str, out: str) -> str:
    """Opens the text of every picture, and writes all of them. `before`: metadata that are there, or ""."""
    entries = _read(before) if before else {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if suffix == ".jpg":
            with open(os.path.join(folder, stem + ending), encoding="utf-8") as text:
                entries.setdefault(stem, {})[field] = text.read().strip()
    return _write(entries, out)


def copy(metadata: str, out: str) -> str:
    """Reads and writes metadata, and cleans nothing."""
    return _write(_read(metadata), out)


def clean(metadata: str, out: str) -> str:
    """Reads metadata, has every text cleaned by the same rules, and writes them."""
    _know_ours()
    from sd_scripts.library.tagging.cleaning import clean_caption, clean_tags, read_rules

    entries, rules = _read(metadata), read_rules()
    for entry in entries.values():
        entry["caption"] = clean_caption(entry["caption"], rules)
        entry["tags"] = clean_tags(entry["tags"], rules)
    return _write(entries, out)


def train(metadata: str, folder: str) -> str:
    """Finds picture, text, bucket and latents of every entry; a size that was not prepared is read from the picture."""
    _know_ours()
    from pathlib import Path

    # Of the ways to read a size the quickest: pillow opens a picture for it.
    from sd_scripts.library.data.images import image_size

    root, names = Path(folder), os.listdir(folder)
    pictures = {os.path.splitext(name)[0]: name for name in names if name.endswith(".jpg")}
    latents = {name for name in names if name.endswith(".npz")}
    found = []
    for key, entry in _read(metadata).items():
        name, text = pictures[key], f"{entry['caption'].strip()}, {entry['tags'].strip()}"
        width_px, height_px = entry.get("train_resolution") or image_size(os.path.join(folder, name))
        bucket_px = width_px // 8 * 8, height_px // 8 * 8
        found.append((key, root / name, text, bucket_px, f"{key}.npz" in latents))
    return f"{len(found):,} pictures"


def _know_ours() -> None:
    """For what nobody does faster by hand."""
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _read(metadata: str) -> dict[str, Any]:
    with open(metadata, encoding="utf-8") as file:
        entries: dict[str, Any] = json.load(file)
        return entries


def _write(entries: dict[str, Any], out: str) -> str:
    """Entries that hold texts alone."""
    # As json.dump does with indent=2, but that takes longer: it looks at each value anew for what it may be.
    with open(out, "w", encoding="utf-8") as file:
        before = "{"
        for key, entry in entries.items():
            fields = ",\n".join([f'    "{name}": {encode_basestring(text)}' for name, text in entry.items()])
            file.write(f"{before}\n  {encode_basestring(key)}: {{\n{fields}\n  }}")
            before = ","
        file.write("\n}\n")
    return f"{len(entries):,} entries"


if __name__ == "__main__":
    work, *words = sys.argv[1:]
    print({"merge": merge, "copy": copy, "clean": clean, "train": train}[work](*words))
