"""Cleans every entry of a metadata file. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sd_scripts.library.errors import NothingUsable
from sd_scripts.library.io.metadata import Entries, Entry, check_out_json, read_entries, write_entries
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.cleaning import Rules, clean_caption, clean_tags, read_rules

Field = Literal["caption", "tags"]
_CLEANERS = {"caption": clean_caption, "tags": clean_tags}


@dataclass
class _Counts:
    texts: int = 0
    captions_changed: int = 0
    tags_changed: int = 0


def clean_metadata(in_json: str, out_json: str, rules_file: str | None, debug: bool, report: Report) -> None:
    """Reads `in_json`, cleans its captions and tags, writes `out_json`; everything else of an entry stays.

    Errors: BadOption and BadFile; NothingUsable, when there is no text to clean.
    """
    check_out_json(out_json)
    rules = read_rules(rules_file)
    report.phase("clean", f"Cleaning the entries of {in_json}")
    counts = _Counts()
    total = write_entries(out_json, _cleaned(in_json, rules, counts, report, debug))
    report.saved(Path(out_json), "metadata")
    report.summary(
        f"Changed {counts.captions_changed:,} captions and {counts.tags_changed:,} tag lists of {total:,} entries. "
        f"Wrote {out_json}.",
        entries=total,
        captions_changed=counts.captions_changed,
        tags_changed=counts.tags_changed,
    )


def _cleaned(in_json: str, rules: Rules, counts: _Counts, report: Report, debug: bool) -> Entries:
    """Errors: NothingUsable, at the end, when there was no text; StoppedAsAsked."""
    for done, (key, entry) in enumerate(read_entries(in_json), 1):
        counts.texts += bool(entry.get("caption")) + bool(entry.get("tags"))
        counts.captions_changed += _clean(key, entry, "caption", rules, report if debug else None)
        counts.tags_changed += _clean(key, entry, "tags", rules, report if debug else None)
        yield key, entry
        report.progress(done)
        report.stop_if_asked()
    if not counts.texts:
        raise NothingUsable(f"{in_json} has no captions and no tags. Merge them into it first.")


def _clean(key: str, entry: Entry, field: Field, rules: Rules, report: Report | None) -> bool:
    before = entry.get(field)
    if not before:
        return False
    after = _CLEANERS[field](before, rules)
    entry[field] = after
    if report and after != before:
        report.say(f"{key}: {field}\n  - {before}\n  + {after}")
    return after != before
