"""What a layout is: where options stand in a form, and the rules by which they are shown."""

from dataclasses import dataclass, field
from typing import Any

Rule = dict[str, Any]
Places = dict[str, str]


@dataclass(frozen=True)
class Layout:
    """One form. Flags are separated by spaces; `shown` hides an option until its rule holds or it was changed."""

    groups: Places
    sections: Places
    shown: dict[str, Rule] = field(default_factory=dict)


NEVER: Rule = {"never": True}
"""Only there for older commands: drawn when it has a value."""


def given(flag: str) -> Rule:
    """The other option is on, or has a value other than 0."""
    return {"flag": flag, "given": True}


def absent(flag: str) -> Rule:
    """The other option is off, empty or 0."""
    return {"flag": flag, "given": False}


def one_of(flag: str, *values: str) -> Rule:
    """The other option has one of these values."""
    return {"flag": flag, "is": list(values)}


def any_of(*rules: Rule) -> Rule:
    """At least one of the rules holds."""
    return {"any": list(rules)}


def all_of(*rules: Rule) -> Rule:
    """All of the rules hold."""
    return {"all": list(rules)}
