"""Cleans captions and tags by rules that stand in a TOML file (cleaning_rules.toml holds ours). Needs no torch."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile, BadOption

DEFAULT_RULES = Path(__file__).with_name("cleaning_rules.toml")
WORD = r"[\w\-]+"
MOST_ROUNDS = 1000


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


def read_rules(path: str | Path | None = None) -> Rules:
    """The rules of a file, ours when None.

    Errors: BadOption, when there is no such file; BadFile, naming the rule, when one cannot be used.
    """
    file = Path(path) if path else DEFAULT_RULES
    if not file.is_file():
        raise BadOption("rules", f"--rules {file}: there is no such file. Copy {DEFAULT_RULES} and edit the copy.")
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadFile(f"{file} is no readable TOML: {error}.") from error
    return _compile(data, file)


def clean_tags(tags: str, rules: Rules) -> str:
    """Tags, separated by commas, without what the rules drop (formats: "Cleaning rules")."""
    found = [_spaced(tag.strip(), rules) for tag in tags.split(",")]
    found = [tag for tag in found if tag and not tag.startswith(rules.drop_beginnings)]
    if any(sign in tag for tag in found for sign in rules.several_people):
        for group in rules.groups:
            found = _without_group(found, group, rules)
    return ", ".join(_without_repeated_words(found, rules))


def clean_caption(caption: str, rules: Rules) -> str:
    """A caption with the rules' replacements made, each until nothing changes."""
    if not rules.any_replacement.search(caption):
        return caption
    for replacement in rules.replacements:
        caption = _replace(caption, replacement)
    return caption


def _spaced(tag: str, rules: Rules) -> str:
    return tag if len(tag) <= rules.keep_underscore_up_to else tag.replace("_", " ").strip()


def _without_group(tags: list[str], group: TagGroup, rules: Rules) -> list[str]:
    members = [tag for tag in tags if group.pattern.fullmatch(tag)]
    for other in rules.groups:
        if other.name == group.beside:
            spared = [tag for tag in members if other.pattern.fullmatch(tag)]
            members = [tag for tag in members if tag not in spared] if len(spared) == 1 else members
    return [tag for tag in tags if tag not in members] if len(members) > 1 else tags


def _without_repeated_words(tags: list[str], rules: Rules) -> list[str]:
    endings = {tag[place + 1 :] for tag in tags for place, letter in enumerate(tag) if letter == " "}
    return [tag for tag in tags if not (tag in endings and (" " not in tag or tag in rules.one_word))]


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
