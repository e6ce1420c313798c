"""A million entries of metadata, and folders of 200,000 files: seconds and memory. `python -m benchmarks.scale --help`.

Every program runs as a process of its own. The exit code is 1 where one holds more memory than it may.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import cost_of
from benchmarks.rows import Row, at_least_one, at_most, json_file, tell
from benchmarks.stopping import room, stoppable
from sd_scripts.library.io.metadata import Entry, write_entries

SIZE_PX = (64, 48)


@dataclass(frozen=True)
class Case:
    """A program, the number of things that it goes through, and the most memory that it may take."""

    name: str
    argv: list[str | Path]
    items: int
    limit_mb: float


def main() -> int:
    """Makes the files, runs the programs, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=at_least_one, default=1_000_000, help="entries of the metadata")
    parser.add_argument("--pictures", type=at_least_one, default=100_000, help="pictures, each with a text file")
    parser.add_argument("--json", type=json_file, help="also write the figures to this file")
    options = parser.parse_args()
    with room() as folder:
        found = [rows_of(case) for case in cases(folder, options.entries, options.pictures)]
    return tell([row for rows in found for row in rows], {}, options.json)


def rows_of(case: Case) -> list[Row]:
    """Seconds and memory of a program."""
    cost = cost_of(case.argv)
    speed = f"{case.items / cost.wall_s:,.0f} a second"
    return [
        Row(f"{case.name}, {case.items:,}", "s", cost.wall_s, note=speed),
        Row("... peak memory", "MB", cost.peak_mb, goal=at_most(case.limit_mb, of="value")),
    ]


def cases(folder: Path, entries: int, pictures: int) -> Iterator[Case]:
    """The programs, each with its files made before it is given."""
    images, metadata, out = folder / "pictures", folder / "metadata.json", folder / "out.json"
    make_pictures(images, pictures)
    write_entries(metadata, made_entries(entries))
    merge, clean = (
        f"sd_scripts/finetune/{name}.py" for name in ("merge_captions_to_metadata", "clean_captions_and_tags")
    )
    yield Case("merge the texts of a folder", [merge, images, out], pictures, 60 + pictures / 1600)
    yield Case(
        "... into metadata that is there", [merge, images, out, "--in_json", metadata], entries, 60 + pictures / 1600
    )
    yield Case("clean metadata", [clean, metadata, out], entries, 60)
    reading = [Path(__file__).with_name("reading.py"), metadata]
    yield Case("find a folder's pictures for training", [*reading, "train", images], entries, 60 + pictures / 500)
    yield Case("a form of the page with it, checked", [*reading, "check", images], entries, 300 + entries / 5000)
    yield Case("the Dataset tab", [*reading, "album", images], pictures, 300 + pictures / 200)


def make_pictures(folder: Path, count: int) -> None:
    """The smallest pictures, each with a caption."""
    import io

    from PIL import Image

    packed = io.BytesIO()
    Image.new("RGB", SIZE_PX, (40, 90, 60)).save(packed, "JPEG")
    folder.mkdir()
    for number in range(count):
        (folder / f"{name_of(number)}.jpg").write_bytes(packed.getvalue())
        (folder / f"{name_of(number)}.caption").write_text(f"a photograph of thing number {number}\n")


def made_entries(count: int) -> Iterator[tuple[str, Entry]]:
    """Entries as the stages before training make them."""
    for number in range(count):
        text = f"a photograph of thing number {number}, in a green field"
        yield name_of(number), {"caption": text, "tags": "1girl, solo, smile", "train_resolution": list(SIZE_PX)}


def name_of(number: int) -> str:
    """The name of a picture."""
    return f"picture_{number:07}"


if __name__ == "__main__":
    sys.exit(stoppable(main))
