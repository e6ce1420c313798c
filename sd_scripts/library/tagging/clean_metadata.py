"""Cleans every entry of a metadata file. Needs no torch."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sd_scripts.library.errors import NothingUsable
from sd_scripts.library.io.metadata import Entries, Entry, check_out_json, read_entries, write_entries
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.cleaning import Rules, clean_caption, clean_tags, read_rules

Field = Literal["caption", "tags"]
_CLEANERS: tuple[tuple[Field, Callable[[str, Rules], str]], ...] = (("caption", clean_caption), ("tags", clean_tags))
LOOK_EVERY = 64
"""After so many entries, which take less than a millisecond, the work tells how far it is and hears a stop."""


@dataclass
class _Counts:
    texts: int = 0
    changed: Counter[str] = field(default_factory=Counter)


def clean_metadata(in_json: str, out_json: str, rules_file: str | None, debug: bool, report: Report) -> None:
    """Reads `in_json`, cleans its captions and tags, writes `out_json`; everything else of an entry stays.

    Errors: BadOption and BadFile; NothingUsable, when there is no text to clean.
    """
    check_out_json(out_json)
    rules = read_rules(rules_file)
    report.phase("clean", f"Cleaning the entries of {in_json}")

    def write() -> tuple[int, _Counts]:
        counts = _Counts()
        return write_entries(out_json, _cleaned(in_json, rules, counts, report, debug)), counts

    total, counts = patiently(report, Path(out_json), write)
    report.saved(Path(out_json), "metadata")
    captions, tags = counts.changed["caption"], counts.changed["tags"]
    report.summary(
        f"Changed {captions:,} captions and {tags:,} tag lists of {total:,} entries. Wrote {out_json}.",
        entries=total,
        captions_changed=captions,
        tags_changed=tags,
    )


def _cleaned(in_json: str, rules: Rules, counts: _Counts, report: Report, debug: bool) -> Entries:
    """Errors: NothingUsable, at the end, when there was no text; StoppedAsAsked."""
    told, done = report if debug else None, 0
    for done, (key, entry) in enumerate(read_entries(in_json), 1):
        _clean(key, entry, rules, counts, told)
        yield key, entry
        if done % LOOK_EVERY == 0:
            report.progress(done)
            report.stop_if_asked()
    if not counts.texts:
        raise NothingUsable(f"{in_json} has no captions and no tags. Merge them into it first.")
    report.progress(done)
    report.stop_if_asked()


def _clean(key: str, entry: Entry, rules: Rules, counts: _Counts, told: Report | None) -> None:
    for name, clean in _CLEANERS:
        before = entry.get(name)
        if before:
            counts.texts += 1
            entry[name] = after = clean(before, rules)
            if after != before:
                counts.changed[name] += 1
                _tell(key, name, before, after, told)


def _tell(key: str, field: str, before: str, after: str, told: Report | None) -> None:
    if told:
        told.say(f"{key}: {field}\n  - {before}\n  + {after}")
