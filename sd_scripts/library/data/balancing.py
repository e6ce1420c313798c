"""Repeats with which the concepts of a dataset weigh alike. Needs no torch."""

from dataclasses import dataclass, field
from pathlib import Path

from sd_scripts.library.data.copies import Copies, Tables, check_not_below, check_target
from sd_scripts.library.data.dreambooth import folders_in, named_or_plain
from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report, counted
from sd_scripts.options.picture_tools import BalanceOptions


@dataclass
class Concept:
    """Pictures of one name. `before`: how often an epoch shows one of them now; None where they differ."""

    words: str
    pictures: list[Path] = field(default_factory=list)
    before: int | None = None

    def repeats(self, showings: int) -> int:
        """The repeats with which the concept comes nearest to so many showings."""
        return max(1, round(showings / len(self.pictures)))


def balance(options: BalanceOptions, report: Report) -> None:
    """Tells the repeats, and copies the pictures into folders named so, if asked. Errors: BadOption, BadFile."""
    source = Path(options.folder).expanduser()
    target = Path(options.output_folder).expanduser() if options.output_folder else None
    if target:
        check_target(target, "output_folder", options.target.add_to_existing, [source])
        check_not_below(target, "output_folder", source)
    concepts = _concepts(source, report)
    showings = options.showings or max(len(concept.pictures) for concept in concepts)
    rows = [_row(concept, showings) for concept in concepts]
    tables: Tables = {"concepts": rows}
    for row in rows:
        shown = f"{row['repeats']:,} x {row['images']:,} = {row['showings']:,}"
        report.say(f"  {row['concept']}: {shown} showings an epoch")
    if not target:
        report.summary(_told(showings), tables, concepts=len(concepts))
        return
    todo = [(image, concept) for concept in concepts for image in concept.pictures]
    copies = Copies(report)
    report.phase("copy", f"Copying {counted(len(todo), 'picture')}", len(todo))
    for image, concept in report.each(todo, len(todo)):
        copies.put(image, target / f"{concept.repeats(showings)}_{concept.words}")
    copies.end(len(todo), target, tables)


def _concepts(source: Path, report: Report) -> list[Concept]:
    """The concepts of a folder, by name. Errors: BadOption, when there are none."""
    if not source.is_dir():
        raise BadOption("folder", f"folder {source}: there is no such folder.")
    concepts: dict[str, Concept] = {}
    for place in folders_in(source):
        named = named_or_plain(place)
        try:
            images = find_images(place)
        except BadOption:
            report.notice(f"{place.name} has no pictures in it, and is left out.", "warning")
            continue
        known = concepts.get(named.words)
        concept = concepts.setdefault(named.words, Concept(named.words, before=named.repeats))
        if known and known.before != named.repeats:
            concept.before = None
        concept.pictures += images
    if not concepts:
        sentence = "it has no folders of pictures in it. Name the folder above them, such as img."
        raise BadOption("folder", f"folder {source}: {sentence}")
    return [concepts[words] for words in sorted(concepts)]


def _row(concept: Concept, showings: int) -> dict[str, object]:
    repeats, images = concept.repeats(showings), len(concept.pictures)
    before = "" if concept.before is None else concept.before
    row = {"concept": concept.words, "images": images, "before": before}
    return {**row, "repeats": repeats, "showings": repeats * images}


def _told(showings: int) -> str:
    advice = "Name --output_folder to copy the pictures into folders named so."
    return f"With these repeats each concept is shown about {showings:,} times an epoch. {advice}"
