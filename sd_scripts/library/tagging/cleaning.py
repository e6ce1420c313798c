"""Cleans captions and tags by rules that stand in a TOML file (cleaning_rules.toml holds ours). Needs no torch."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.reading import parse_toml, read_text

DEFAULT_RULES = Path(__file__).with_name("cleaning_rules.toml")
WORD = r"[\w\-]+"
MOST_ROUNDS = 1000
MOST_TAGS_KEPT = 100_000
"""Pictures share their tags: a tagger has some ten thousand, and what the rules say of one is asked once."""


@dataclass(frozen=True)
class TagGroup:
    """Tags of which two or more are dropped together; `beside`: a group of which one remaining tag is not counted."""

    name: str
    pattern: re.Pattern[str]
    beside: str | None = None


@dataclass(frozen=True)
class Replacement:
    """A whole-word replacement, with a plural s kept where the result can carry one."""

    pattern: re.Pattern[str]
    to: Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Rules:
    """All cleaning rules, compiled."""

    keep_underscore_up_to: int
    drop_beginnings: tuple[str, ...]
    several_people: tuple[str, ...]
    one_word: frozenset[str]
    groups: tuple[TagGroup, ...]
    replacements: tuple[Replacement, ...]
    any_replacement: re.Pattern[str]
    """Matches where at least one of the replacements does: most captions need one look, and not one a rule."""
    known: "dict[str, Tag | None]" = field(default_factory=dict, compare=False, repr=False)
    """{tag as it is written: what the rules say of it}, of those met last; None for one that is dropped anyway."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What the rules say of a tag by itself. `endings`: what stands behind each of its spaces.

    `is_word`: it is dropped beside a tag that ends in it. `groups`: a bit for each group that it belongs to.
    """

    text: str
    endings: tuple[str, ...]
    is_word: bool
    several_people: bool
    groups: int


def read_rules(path: str | Path | None = None) -> Rules:
    """The rules of a file, ours when None.

    Errors: BadOption, when there is no such file; BadFile, naming the rule, when one cannot be used.
    """
    file = Path(path) if path else DEFAULT_RULES
    if not file.is_file():
        raise BadOption("rules", f"--rules {file}: there is no such file. Copy {DEFAULT_RULES} and edit the copy.")
    try:
        data = parse_toml(read_text(file))
    except (ValueError, OSError) as error:
        raise BadFile(f"{file} is no readable TOML: {error}.") from error
    return _compile(data, file)


def clean_tags(tags: str, rules: Rules) -> str:
    """Tags, separated by commas, without what the rules drop (formats: "Cleaning rules")."""
    known = rules.known
    written = [known[one] if one in known else _look_up(one, rules) for one in tags.split(",")]
    found = [tag for tag in written if tag]
    if any(tag.several_people for tag in found):
        found = _without_groups(found, rules)
    endings = {ending for tag in found for ending in tag.endings}
    return ", ".join([tag.text for tag in found if not (tag.is_word and tag.text in endings)])


def clean_caption(caption: str, rules: Rules) -> str:
    """A caption with the rules' replacements made, each until nothing changes."""
    if not rules.any_replacement.search(caption):
        return caption
    for replacement in rules.replacements:
        caption = _replace(caption, replacement)
    return caption


def _look_up(written: str, rules: Rules) -> Tag | None:
    if len(rules.known) >= MOST_TAGS_KEPT:
        rules.known.clear()
    tag = rules.known[written] = _look_at(written, rules)
    return tag


def _look_at(written: str, rules: Rules) -> Tag | None:
    text = written.strip()
    if len(text) > rules.keep_underscore_up_to:
        text = text.replace("_", " ").strip()
    if not text or text.startswith(rules.drop_beginnings):
        return None
    return Tag(
        text,
        endings=tuple(text[place + 1 :] for place, letter in enumerate(text) if letter == " "),
        is_word=" " not in text or text in rules.one_word,
        several_people=any(sign in text for sign in rules.several_people),
        groups=sum(1 << place for place, group in enumerate(rules.groups) if group.pattern.fullmatch(text)),
    )


def _without_groups(tags: list[Tag], rules: Rules) -> list[Tag]:
    """Without the tags of groups that two or more are of."""
    seen = twice = 0
    for tag in tags:
        twice |= seen & tag.groups
        seen |= tag.groups
    for place, group in enumerate(rules.groups):
        if twice >> place & 1:
            tags = _without_group(tags, place, group.beside, rules)
    return tags


def _without_group(tags: list[Tag], place: int, beside: str | None, rules: Rules) -> list[Tag]:
    members = [tag for tag in tags if tag.groups >> place & 1]
    for other, group in enumerate(rules.groups):
        if group.name == beside:
            spared = [tag for tag in members if tag.groups >> other & 1]
            if len(spared) == 1:
                members = [tag for tag in members if tag.text != spared[0].text]
    gone = {tag.text for tag in members} if len(members) > 1 else set()
    return [tag for tag in tags if tag.text not in gone]


def _replace(caption: str, replacement: Replacement) -> str:
    for _ in range(MOST_ROUNDS):
        changed = replacement.pattern.sub(replacement.to, caption)
        if changed == caption:
            return caption
        caption = re.sub(r" {2,}", " ", changed).strip()
    raise BadFile(f'The rule for "{replacement.pattern.pattern}" never ends on a caption of this metadata; change it.')


def _compile(data: dict[str, Any], file: Path) -> Rules:
    try:
        tags = data["tags"]
        groups = tuple(TagGroup(g["name"], _tag_pattern(g["tags"]), g.get("beside")) for g in tags.get("groups", []))
        replacements = tuple(_replacement(rule, file) for rule in data["captions"].get("replace", []))
        return Rules(
            keep_underscore_up_to=int(tags.get("keep_underscore_up_to", 3)),
            drop_beginnings=tuple(tags.get("drop_beginnings", [])),
            several_people=tuple(tags.get("several_people", [])),
            one_word=frozenset(tags.get("one_word", [])),
            groups=groups,
            replacements=replacements,
            # Without any, nothing may match: not even the empty text.
            any_replacement=re.compile("|".join(one.pattern.pattern for one in replacements) or r"(?!)"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = error.args[0] if isinstance(error, KeyError) else error
        raise BadFile(f"{file} is no file of cleaning rules ({name}). Start from a copy of {DEFAULT_RULES}.") from error


def _tag_pattern(tags: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(tag).replace(r"\*", WORD) for tag in tags))


def _replacement(rule: dict[str, Any], file: Path) -> Replacement:
    to = str(rule["to"])
    words = "|".join(re.escape(words) for words in rule["from"])
    # An s is kept only where it would still make a plural: neither after nothing nor after another s.
    plural = bool(to) and not to.endswith("s")
    pattern = re.compile(rf"\b(?:{words})({'s?' if plural else ''})\b")
    if pattern.search(to) or not words:
        given = ", ".join(rule["from"])
        raise BadFile(f'{file}: the rule "{given}" -> "{to}" would never end: its result contains its own pattern.')
    return Replacement(pattern, lambda match: to + match[1])
