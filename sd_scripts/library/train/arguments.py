"""Further arguments of optimizers and schedules: words such as weight_decay=0.01, read and checked. Needs no torch."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

from sd_scripts.library.errors import BadOption, NotInstalled
from sd_scripts.library.installed import import_installed

_SWITCHES = {"true": True, "false": False, "none": None}


def read_arguments(words: list[str] | None, option: str, texts: tuple[str, ...] = ()) -> dict[str, Any]:
    """{name: value} of words such as weight_decay=0.01 and betas=0.9,0.999.

    Arguments that `texts` names are texts and need no quotes. Errors: BadOption, of `option`.
    """
    return dict(_read_argument(word, option, texts) for word in words or [])


def _read_argument(word: str, option: str, texts: tuple[str, ...]) -> tuple[str, Any]:
    name, equals, text = (part.strip() for part in word.partition("="))
    if not equals or not name.isidentifier():
        raise BadOption(option, f'--{option} "{word}": write name=value, such as weight_decay=0.01.')
    if name in texts:
        return name, text.strip("'\"")
    if text.lower() in _SWITCHES:
        return name, _SWITCHES[text.lower()]
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        sentence = f'--{option} "{word}": "{text}" is no number, list, True or False. Put quotes around a text.'
        raise BadOption(option, sentence) from error


def check_arguments(
    builder: Callable[..., Any], arguments: dict[str, Any], option: str, name: str, kept: tuple[str, ...]
) -> None:
    """Raises BadOption for an argument that `builder` does not take, and for one that it needs and does not get.

    `kept`: arguments that the program gives itself.
    """
    taken = inspect.signature(builder).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    offered = [name for name, parameter in taken.items() if name not in kept and parameter.kind not in several]
    for argument in arguments:
        if argument in kept or (argument not in taken and not open_ended):
            there = f"It takes {', '.join(offered)}." if offered else "It takes none."
            raise BadOption(option, f"{name} has no argument {argument}. {there}")
    for needed in offered:
        if taken[needed].default is inspect.Parameter.empty and needed not in arguments:
            raise BadOption(option, f"{name} needs the argument {needed}: --{option} {needed}=...")


def load_named(module: str, name: str, option: str, package: str, instead: str) -> Callable[..., Any]:
    """The class or function `name` of `module`. Errors: BadOption, of `option`; NotInstalled, which says `instead`."""
    try:
        return getattr(import_installed(module), name)
    except ImportError as error:
        sentence = f"--{option} {name} needs the package {package}, which is not installed or does not run here"
        raise NotInstalled(f"{sentence} ({error}). Install it, or {instead}.") from error
    except AttributeError as error:
        raise BadOption(option, f"--{option}: {module} has no class {name}.") from error
