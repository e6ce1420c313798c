"""What an option is: the marks that its type may carry, and its declaration read back for forms and checks."""

import ast
import dataclasses
import functools
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro


@dataclass(frozen=True)
class Range:
    """Numbers that an option takes, ends included. `zero` says what 0 means where it is no quantity (such as "off")."""

    low: float | None = None
    high: float | None = None
    zero: str | None = None


@dataclass(frozen=True)
class Unit:
    """What a number counts: px, images, steps, epochs, tokens, ..."""

    name: str


PathKind = Literal[
    "pictures", "folder", "model", "vae", "json_in", "json_out", "file", "file_out", "model_out", "picture", "project",
    "state",
]  # fmt: skip


@dataclass(frozen=True)
class PathTo:
    """The option is a path (or, for models, perhaps a hub id, for a picture a data: URL); `kind` says to what."""

    kind: PathKind


@dataclass(frozen=True)
class Secret:
    """The value must never be shown, stored or logged."""


@dataclass(frozen=True)
class Former:
    """Flags that mean the same and are deprecated, without their dashes."""

    names: tuple[str, ...]


def place(name: str) -> tuple[Any, Any]:
    """For `Annotated[str, *place("in_json")]`: an option without a flag, known by its place; help shows `name`."""
    return tyro.conf.Positional, tyro.conf.arg(metavar=name)


def former(*names: str) -> tuple[Former, Any]:
    """For `Annotated[str, *former("old_name")]`: the old flags are understood too."""
    return Former(names), tyro.conf.arg(aliases=[f"--{name}" for name in names])


@dataclass(frozen=True)
class OptionSpec:
    """One option as declared. `kind` is the type of one value; `many` means a list of them."""

    name: str
    kind: Literal["bool", "int", "float", "number", "str"]
    default: Any
    help: str
    group: str
    choices: tuple[Any, ...] = ()
    many: bool = False
    optional: bool = False
    required: bool = False
    positional: bool = False
    range: Range = Range()
    unit: str | None = None
    path: PathKind | None = None
    secret: bool = False
    former: tuple[str, ...] = ()


@functools.cache
def option_specs(options_class: type) -> dict[str, OptionSpec]:
    """The options of a script's class and of the groups in it, by name, in the order of their declaration."""
    specs: dict[str, OptionSpec] = {}
    for owner, field, hint in _leaves(options_class):
        if field.name in specs:
            raise TypeError(f"{options_class.__name__} declares {field.name} twice")
        specs[field.name] = _spec(owner, field, hint)
    return specs


@dataclass(frozen=True)
class Group:
    """Options that belong together: `name` is the field's in the script's class, empty for options without a group."""

    name: str
    help: str
    specs: tuple[OptionSpec, ...]


def option_groups(options_class: type) -> list[Group]:
    """The options of a script by group, in the order of their declaration."""
    specs = option_specs(options_class)
    groups: list[Group] = []
    for field, hint in _fields(options_class):
        if dataclasses.is_dataclass(hint):
            inner = typing.cast(type, hint)
            groups.append(Group(field.name, _first_line(inner), tuple(option_specs(inner).values())))
        elif groups and not groups[-1].name:
            groups[-1] = dataclasses.replace(groups[-1], specs=(*groups[-1].specs, specs[field.name]))
        else:
            groups.append(Group("", "", (specs[field.name],)))
    return groups


def flat_values(options: Any) -> dict[str, Any]:
    """{name: value} of an options object, its groups flattened."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        values.update(flat_values(value) if dataclasses.is_dataclass(value) else {field.name: value})
    return values


def from_values(options_class: type, values: dict[str, Any]) -> Any:
    """An options object from {name: value}; what is absent takes its default."""
    taken: dict[str, Any] = {}
    for field, hint in _fields(options_class):
        if dataclasses.is_dataclass(hint):
            taken[field.name] = from_values(typing.cast(type, hint), values)
        elif field.name in values:
            taken[field.name] = values[field.name]
    return options_class(**taken)


def _first_line(owner: type) -> str:
    return inspect.cleandoc(owner.__doc__ or "").partition("\n")[0]


def _fields(options_class: type) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(options_class, include_extras=True)
    return ((field, hints[field.name]) for field in dataclasses.fields(options_class))


def _leaves(options_class: type) -> Iterator[tuple[type, dataclasses.Field[Any], Any]]:
    for field, hint in _fields(options_class):
        if dataclasses.is_dataclass(hint):
            yield from _leaves(typing.cast(type, hint))
        else:
            yield _declarer(options_class, field.name), field, hint


def _declarer(options_class: type, name: str) -> type:
    """The class that declares a field: the group itself, or one that it extends."""
    return next(owner for owner in options_class.__mro__ if name in owner.__dict__.get("__annotations__", {}))


def _spec(owner: type, field: dataclasses.Field[Any], hint: Any) -> OptionSpec:
    marks: list[Any] = []
    while get_origin(hint) is typing.Annotated:
        hint, *more = get_args(hint)
        marks += more
    found = {type(mark): mark for mark in marks}
    kind, choices, many, optional = _read_type(hint)
    missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return OptionSpec(
        name=field.name,
        kind=kind,
        default=None if missing else field.default,
        help=_docstrings(owner)[field.name],
        group=owner.__name__,
        choices=choices,
        many=many,
        optional=optional,
        required=missing,
        positional=tyro.conf.Positional in marks,
        range=found.get(Range, Range()),
        unit=found[Unit].name if Unit in found else None,
        path=found[PathTo].kind if PathTo in found else None,
        secret=Secret in found,
        former=found[Former].names if Former in found else (),
    )


_KINDS: dict[Any, Any] = {
    frozenset({bool}): "bool",
    frozenset({int}): "int",
    frozenset({float}): "float",
    frozenset({int, float}): "number",
    frozenset({str}): "str",
}


def _read_type(hint: Any) -> tuple[Any, tuple[Any, ...], bool, bool]:
    """(kind, choices, many, optional) of a type such as `Literal["a", "b"] | None` or `list[str] | None`."""
    members = list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]
    optional = type(None) in members
    members = [member for member in members if member is not type(None)]
    many = any(get_origin(member) is list for member in members)
    if many:
        members = list(get_args(members[0]))
    choices = tuple(choice for member in members if get_origin(member) is Literal for choice in get_args(member))
    plain = frozenset(type(choice) for choice in choices) or frozenset(members)
    return _KINDS[plain], choices, many, optional


@functools.cache
def _docstrings(owner: type) -> dict[str, str]:
    """The strings that stand below the fields of a dataclass and of those it extends, by field, each as one line."""
    above = (base for base in reversed(owner.__mro__[1:]) if dataclasses.is_dataclass(base))
    found = {name: text for base in above for name, text in _docstrings(base).items()}
    body = (_classes(owner.__module__).get(owner.__qualname__) or _class_alone(owner)).body
    for field, below in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return found


@functools.cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module, which is read once: to look for each by itself takes most of a program's start."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _class_alone(owner: type) -> ast.ClassDef:
    """Of a class that stands within another, or in a function."""
    return typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0])
