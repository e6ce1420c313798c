"""From what was typed to values and back: the same rules for the command line, the page and presets."""

import math
import re
import shlex
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sd_scripts.options.spec import OptionSpec, Range, option_specs

SENTENCES = {
    "required": "A value is needed.",
    "not_a_number": '"{value}" is not a number. Write {example}.',
    "not_whole": "{value} must be a whole number.",
    "too_low": "Must be {low} or more.",
    "too_high": "Must be {high} or less.",
    "not_a_choice": '"{value}" is not one of {choices}.',
    "a_flag": '"{value}" begins with a dash, as options do. A list cannot hold it: write it without.',
    "not_text": "It has a character in it that no program can be given. Type it anew.",
    "not_a_switch": '"{value}" must be true or false.',
}

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_SWITCH = {"true": True, "false": False, "": False}


class BadValue(ValueError):
    """A value that an option does not take: `key` names the sentence (the page has it in two languages)."""

    def __init__(self, key: str, **facts: Any) -> None:
        super().__init__(SENTENCES[key].format(**facts))
        self.key = key
        self.facts = facts


def read_value(spec: OptionSpec, typed: Any) -> Any:
    """The value of an option from text, or from JSON; empty text and None mean the default.

    Errors: BadValue. Nothing is coerced: "2.5" is no whole number, "abc" is no 0.
    """
    if typed is None or typed == "" or typed == []:
        if spec.required:
            raise BadValue("required")
        return spec.default
    if spec.many:
        parts = typed if isinstance(typed, list) else split_words(str(typed))
        flag = next((part for part in parts if str(part).startswith("-") and not _NUMBER.fullmatch(str(part))), None)
        if flag is not None:
            raise BadValue("a_flag", value=flag)
        return [_read_one(spec, part) for part in parts]
    return _read_one(spec, typed)


def check_value(spec: OptionSpec, value: Any) -> None:
    """Raises BadValue when a value of the right type lies outside the option's choices or range."""
    for one in value if isinstance(value, list) else [value]:
        if one is None or isinstance(one, bool):
            continue
        if spec.choices and one not in spec.choices:
            raise BadValue("not_a_choice", value=one, choices=", ".join(map(str, spec.choices)))
        if isinstance(one, int | float):
            _check_range(spec.range, one)


def changed_values(options_class: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from their defaults, in the order of declaration."""
    specs = option_specs(options_class)
    return {name: values[name] for name, spec in specs.items() if name in values and values[name] != spec.default}


def to_argv(options_class: type, values: dict[str, Any]) -> list[str]:
    """The command line for {name: value}: positionals first, then what differs from its default."""
    specs = option_specs(options_class)
    given = changed_values(options_class, values)
    places = [str(given[name]) for name in given if specs[name].positional]
    flags = [word for name, value in given.items() if not specs[name].positional for word in flag_words(name, value)]
    # What begins with a dash is a value only behind the mark after which there are no flags.
    return [*flags, "--", *places] if any(one.startswith("-") for one in places) else [*places, *flags]


def split_words(text: str) -> list[str]:
    """Words as a shell splits them; an open quote is an ordinary character."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _read_one(spec: OptionSpec, typed: Any) -> Any:
    value = _READERS[spec.kind](typed)
    check_value(spec, value)
    return value


def _read_bool(typed: Any) -> bool:
    if isinstance(typed, bool):
        return typed
    if str(typed).lower() not in _SWITCH:
        raise BadValue("not_a_switch", value=typed)
    return _SWITCH[str(typed).lower()]


def _read_int(typed: Any) -> int:
    if not math.isfinite(_read_float(typed)):
        raise BadValue("not_whole", value=typed)
    # A float has 16 digits, and a whole number may have more.
    exact = Decimal(str(typed).strip())
    if exact != exact.to_integral_value():
        raise BadValue("not_whole", value=typed)
    return int(exact)


def _read_text(typed: Any) -> str:
    text = str(typed)
    # The end of a text in C, and half a character: neither reaches a program.
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadValue("not_text")
    return text


def _read_float(typed: Any) -> float:
    text = str(typed).strip()
    if isinstance(typed, bool) or not _NUMBER.fullmatch(text):
        raise BadValue("not_a_number", value=typed, example="1e-5 or 0.00001")
    # Zero has no sign, which a browser would drop.
    return float(text) + 0.0


def _read_number(typed: Any) -> int | float:
    # A number of steps may be a share of all steps, and that may be given in percent.
    if str(typed).strip().endswith("%"):
        return _read_float(str(typed).strip()[:-1]) / 100
    number = _read_float(typed)
    # 1 is one step and 1.0 is all of them; above that there is no such difference.
    whole = re.fullmatch(r"[-+]?\d+", str(typed).strip()) or (number > 1 and number.is_integer())
    return _read_int(typed) if whole else number


_READERS: dict[str, Callable[[Any], Any]] = {
    "bool": _read_bool,
    "int": _read_int,
    "float": _read_float,
    "number": _read_number,
    "str": _read_text,
}


def _check_range(limits: Range, value: float) -> None:
    if limits.zero and value == 0:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue("not_a_number", value=value, example="1e-5 or 0.00001")
    if limits.low is not None and value < limits.low:
        raise BadValue("too_low", low=_plain(limits.low))
    if limits.high is not None and value > limits.high:
        raise BadValue("too_high", high=_plain(limits.high))


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def flag_words(name: str, value: Any) -> list[str]:
    """An option with its value as words of a command line; none for a switch that is off."""
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    # A value that starts with a dash would be read as a flag.
    return [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]
