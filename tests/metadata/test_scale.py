"""Much data takes no more memory than little; `python -m benchmarks.scale` measures true sizes."""

import io
from pathlib import Path

from benchmarks.processes import cost_of
from benchmarks.scale import made_entries, make_pictures
from sd_scripts.library import report as reports
from sd_scripts.library.io.metadata import read_entries, write_entries
from sd_scripts.library.report import Report

FEW, MANY = 1_000, 40_000
SPARE_MB = 12
"""Held at once, the entries would take 30 MB more."""

READ = f"""
import sys
from sd_scripts.library.data import metadata_subset
from benchmarks.reading import train
metadata_subset.HELD_ENTRIES = {FEW - 1}
print(train(*sys.argv[1:]))
"""


def test_memory_does_not_grow_with_the_metadata(tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures", 3)
    peaks: dict[str, list[float]] = {"clean": [], "merge": [], "read": []}
    for count in (FEW, MANY):
        metadata, out = tmp_path / "metadata.json", tmp_path / "out.json"
        write_entries(metadata, made_entries(count))
        scripts = Path("sd_scripts/finetune")
        clean = [scripts / "clean_captions_and_tags.py", metadata, out]
        merge = [scripts / "merge_captions_to_metadata.py", tmp_path / "pictures", out, "--in_json", metadata]
        read = ["-c", READ, metadata, tmp_path / "pictures"]
        for name, argv in (("clean", clean), ("merge", merge), ("read", read)):
            peaks[name].append(cost_of(argv).peak_mb)
            if name != "read":
                assert sum(1 for _ in read_entries(out)) == count
    for name, (few_mb, many_mb) in peaks.items():
        assert many_mb - few_mb < SPARE_MB, (name, few_mb, many_mb)


def test_of_very_many_failures_all_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    out = io.StringIO()
    report = Report(tmp_path / "events.jsonl", out=out)
    many = reports.KEPT_FAILURES + 5
    for number in range(many):
        report.failed_item(f"picture{number}", "it is broken")
    report.list_failures()
    assert report.failed == report.counts["skipped"] == many
    assert len(report.failures) == reports.KEPT_FAILURES
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == reports.KEPT_FAILURES
    report.close()
    assert f"... and {many - reports.LISTED_FAILURES:,} more" in out.getvalue()
