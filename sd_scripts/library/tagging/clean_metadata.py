"""Cleans every entry of a metadata file. Needs no torch."""

from pathlib import Path
from typing import Literal

from sd_scripts.library.errors import NothingUsable
from sd_scripts.library.io.metadata import Entry, check_out_json, read_metadata, write_metadata
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.cleaning import Rules, clean_caption, clean_tags, read_rules

Field = Literal["caption", "tags"]
_CLEANERS = {"caption": clean_caption, "tags": clean_tags}


def clean_metadata(in_json: str, out_json: str, rules_file: str | None, debug: bool, report: Report) -> None:
    """Reads `in_json`, cleans its captions and tags, writes `out_json`; everything else of an entry stays.

    Errors: BadOption and BadFile; NothingUsable, when there is no text to clean.
    """
    check_out_json(out_json)
    rules = read_rules(rules_file)
    metadata = read_metadata(in_json)
    if not any(entry.get("caption") or entry.get("tags") for entry in metadata.values()):
        raise NothingUsable(f"{in_json} has no captions and no tags. Merge them into it first.")
    report.phase("clean", f"Cleaning {len(metadata):,} entries", total=len(metadata))
    changed = {"caption": 0, "tags": 0}
    for key, entry in report.each(metadata.items(), len(metadata)):
        for field in ("caption", "tags"):
            if _clean(key, entry, field, rules, report if debug else None):
                changed[field] += 1
    if report.stop_asked():
        report.notice("Stopped before the end: the metadata file was not written.")
        return
    write_metadata(out_json, metadata)
    report.saved(Path(out_json), "metadata")
    report.summary(
        f"Changed {changed['caption']:,} captions and {changed['tags']:,} tag lists of {len(metadata):,} entries. "
        f"Wrote {out_json}.",
        entries=len(metadata),
        captions_changed=changed["caption"],
        tags_changed=changed["tags"],
    )


def _clean(key: str, entry: Entry, field: Field, rules: Rules, report: Report | None) -> bool:
    before = entry.get(field)
    if not before:
        return False
    after = _CLEANERS[field](before, rules)
    entry[field] = after
    if report and after != before:
        report.say(f"{key}: {field}\n  - {before}\n  + {after}")
    return after != before
