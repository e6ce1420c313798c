"""The command line of a script: tyro reads it; what is wrong is said in one sentence."""

import difflib
import itertools
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args

import tyro
from tyro import _errors as tyro_errors
from tyro import _resolver as tyro_resolver

from sd_scripts.library.errors import BadOption
from sd_scripts.options.config_file import given_names, read_config
from sd_scripts.options.refused import REFUSED
from sd_scripts.options.spec import OptionSpec, flat_values, from_values, option_specs
from sd_scripts.options.values import BadValue, check_value, read_value

Options = TypeVar("Options")

_CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)


# Text programs make them of two hyphens: en dash and em dash.
LONG_DASHES = "\u2013\u2014"
_PERCENT = re.compile(r"(\d+\.?\d*|\.\d+)%")


_fits_elsewhere = tyro_resolver.is_instance


def _fits(typ: Any, value: Any) -> bool:
    """Whether a default is of its type. For `str | None` tyro imports typeguard, which takes a third of `--help`."""
    members = get_args(typ) if isinstance(typ, UnionType) else (typ,)
    return (value is None and NoneType in members) or any(_fits_elsewhere(member, value) for member in members)


tyro_resolver.is_instance = _fits


def parse(options_class: type[Options], argv: list[str], script: str) -> Options:
    """The options that `argv` gives; `--help` prints and exits with 0.

    Errors: BadOption, whose sentence names the flag, what was given, and what would do.
    """
    specs = option_specs(cast(type, options_class))
    refuse(argv, script, specs)

    def explain(event: tyro_errors.ParseErrorEvent) -> None:
        raise _sentence(event, argv, specs)

    words = _percent_as_share(argv, specs)
    with tyro_errors.on_parse_error(explain):
        options = tyro.cli(options_class, args=words, prog=script, config=_CONFIG, use_underscores=True)
    values = flat_values(options)
    for name, value in values.items():
        if value == [] and specs[name].required:
            raise _needed(specs[name])
        try:
            check_value(specs[name], value)
        except BadValue as error:
            raise BadOption(name, f"{shown(specs[name])} {value}: {error}") from error
    if not values.get("config_file") or values["output_config"]:
        return options
    read = read_config(values["config_file"], specs, REFUSED.get(Path(script).stem, {}))
    given = given_names(argv, specs)
    taken = {name: value for name, value in read.items() if name not in given}
    return cast(Options, from_values(cast(type, options_class), values | taken))


def _percent_as_share(argv: list[str], specs: dict[str, OptionSpec]) -> list[str]:
    """`10%` as 0.1 after a flag whose number may be a share of all steps."""
    flags = {f"--{name}" for name, spec in specs.items() if spec.kind == "number"}
    words = list(argv)
    for place, word in enumerate(words):
        flag, _, value = word.partition("=")
        before = words[place - 1] if place else ""
        if _PERCENT.fullmatch(value) and flag in flags:
            words[place] = f"{flag}={read_value(specs[flag[2:]], value)}"
        elif _PERCENT.fullmatch(word) and before in flags:
            words[place] = str(read_value(specs[before[2:]], word))
    return words


def refuse(argv: list[str], script: str, specs: dict[str, OptionSpec]) -> None:
    """Raises BadOption for a flag of sd-scripts that this script does not have, with its reason."""
    reasons = REFUSED.get(Path(script).stem, {})
    for word in argv:
        name = word.split("=")[0].removeprefix("--").replace("-", "_")
        if word.startswith("--") and name in reasons and name not in specs:
            raise BadOption(name, f"--{name} {reasons[name]}")


def shown(spec: OptionSpec) -> str:
    """An option as its users know it: with dashes, or by its place."""
    return spec.name if spec.positional else f"--{spec.name}"


def _sentence(event: tyro_errors.ParseErrorEvent, argv: list[str], specs: dict[str, OptionSpec]) -> BadOption:
    if isinstance(event, tyro_errors.UnrecognizedArgs):
        return _unknown(event.tokens, argv, specs)
    if isinstance(event, tyro_errors.MissingArgs):
        if event.unrecognized_tokens:
            return _unknown(event.unrecognized_tokens, argv, specs)
        spec = specs[_name(event.missing_arguments[0].arg)]
        return _needed(spec)
    argument = getattr(event, "argument", None)
    if argument is None:
        return BadOption("", f"The command line cannot be read: {getattr(event, 'message', event)}")
    spec = specs[_name(argument)]
    if getattr(event, "reason", "") == "too_few_values":
        return BadOption(spec.name, f"{shown(spec)} needs a value: {spec.help}")
    return _bad_value(spec, _given(spec, argv), str(getattr(event, "message", "")))


def _needed(spec: OptionSpec) -> BadOption:
    return BadOption(spec.name, f"{shown(spec)} is needed: {spec.help}")


def _bad_value(spec: OptionSpec, given: list[str], message: str) -> BadOption:
    for word in given:
        try:
            value = read_value(spec, word)
        except BadValue as error:
            return BadOption(spec.name, f"{shown(spec)} {word}: {error}")
        if spec.kind == "int":
            return BadOption(spec.name, f"{shown(spec)} {word}: Write {value}.")
    return BadOption(spec.name, f"{shown(spec)} {' '.join(given)}: {message or 'this value is not understood.'}")


def _unknown(tokens: list[str], argv: list[str], specs: dict[str, OptionSpec]) -> BadOption:
    token = next((token for token in tokens if token.startswith("-")), tokens[0])
    if not token.startswith("-"):
        return _too_many(token, argv, specs)
    name = token.lstrip("-").split("=")[0].replace("-", "_")
    close = difflib.get_close_matches(name, [n for n, spec in specs.items() if not spec.positional], n=1, cutoff=0.6)
    hint = f" Did you mean --{close[0]}?" if close else " --help lists all options."
    return BadOption(name, f"There is no option {token.split('=')[0]}.{hint}")


def _too_many(token: str, argv: list[str], specs: dict[str, OptionSpec]) -> BadOption:
    """A word that belongs to nothing: the value of a switch, a flag with a dash of a text program, or another."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    before = {words[place - 1] for place, word in enumerate(words) if word == token and place}
    switches = [name for name, spec in specs.items() if spec.kind == "bool" and f"--{name}" in before]
    if switches and token.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        name = switches[0]
        advice = f"Write --{name} alone to turn it on, or leave it out."
        return BadOption(name, f"--{name} {token}: it is a switch. {advice}")
    if token[0] in LONG_DASHES:
        flag = "--" + token.lstrip(LONG_DASHES + "-")
        return BadOption("", f'"{token}" begins with a long dash. Write two short ones: {flag}.')
    return BadOption("", f'"{token}" is one argument too many. Put quotes around names with spaces.')


def _given(spec: OptionSpec, argv: list[str]) -> list[str]:
    """The words that the command line gives for an option."""
    flags = {f"--{name}" for name in (spec.name, *spec.former)}
    words: list[str] = []
    for place, word in enumerate(argv):
        flag, _, value = word.partition("=")
        if flag.replace("-", "_").replace("__", "--", 1) in flags:
            last = len(argv) if spec.many else place + 2
            following = itertools.takewhile(lambda word: not word.startswith("--"), argv[place + 1 : last])
            words += [value] if value else following
    return words or ([word for word in argv if not word.startswith("-")] if spec.positional else [])


def _name(argument: Any) -> str:
    """The field's name of one of tyro's arguments."""
    return str(argument.field.intern_name)
