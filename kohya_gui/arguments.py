"""What a caller may give to an action: every argument of the type that the action declares."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from kohya_gui.words import refusal

Json = dict[str, Any]
Value = str | int | float | bool | None | list[str | int | float | bool]
Values = dict[str, Value]
"""{flag: value} of a stage, as typed."""

GivenProject = dict[str, str | list[str] | None] | str | None
"""A project by its name, or as the page holds it."""

SHOWN_LETTERS = 60
LARGEST_EXACT = 2**53


def checked_arguments(action: Callable[..., Json], args: tuple[Any, ...], given: dict[str, Any]) -> Json:
    """The arguments by name. Errors: BadOption, where one is missing, unknown or of another type."""
    name, parameters = action.__name__, dict(inspect.signature(action).parameters)
    del parameters["self"]
    arguments = {**dict(zip(parameters, args, strict=False)), **given}
    for unknown in arguments.keys() - parameters.keys():
        raise refusal(unknown, "call.unknown_argument", action=name, name=unknown, known=", ".join(parameters) or "-")
    for argument, parameter in parameters.items():
        if argument not in arguments and parameter.default is parameter.empty:
            raise refusal(argument, "call.missing_argument", action=name, name=argument)
    for argument, value in arguments.items():
        wanted = parameters[argument].annotation
        if not fits(value, wanted):
            shown = repr(value)[:SHOWN_LETTERS]
            raise refusal(argument, "call.wrong_type", action=name, name=argument, wanted=in_words(wanted), value=shown)
    return arguments


def fits(value: Any, wanted: Any) -> bool:
    """Whether a JSON value is of a type: a plain one, a list, a mapping with text keys, or one of several."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return True
    if origin is types.UnionType:
        return any(fits(value, part) for part in parts)
    if origin is list:
        return isinstance(value, list) and all(fits(one, parts[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(k, str) and fits(v, parts[1]) for k, v in value.items())
    if wanted is None or wanted is types.NoneType:
        return value is None
    # JSON's true is no number, though Python takes it for one.
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def exact(answer: Any) -> Any:
    """An answer whose whole numbers a browser can hold: from 2**53 on it would round them, so they go as text."""
    if isinstance(answer, dict):
        return {key: exact(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [exact(value) for value in answer]
    return str(answer) if isinstance(answer, int) and abs(answer) > LARGEST_EXACT else answer


def in_words(wanted: Any) -> str:
    """A type as people who write JSON call it."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is types.UnionType:
        return " | ".join(dict.fromkeys(in_words(part) for part in parts))
    if origin is list:
        return f"[{in_words(parts[0])}]"
    if origin is dict:
        return f"{{text: {in_words(parts[1])}}}"
    return {str: "text", int: "number", float: "number", bool: "true | false"}.get(wanted, "null")
