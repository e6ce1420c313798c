"""From an options class to the form that the page draws: its fields, their places and when they are shown."""

from typing import Any

from kohya_gui.layout import GROUPED, LAYOUTS, LINES, LISTED, SUGGESTED, WIDE
from kohya_gui.places import Layout
from kohya_gui.stages import STAGES
from sd_scripts.options.spec import OptionSpec, option_specs

Schema = dict[str, Any]


def form_schema(stage: str, options_class: type) -> Schema:
    """What the page's script needs to draw a stage's form; texts are looked up in the locales by flag.

    Errors: ValueError when the stage's layout leaves out an option, or places one twice.
    """
    layout = LAYOUTS[stage]
    specs = option_specs(options_class)
    _check_places(stage, layout, specs)
    return {
        "stage": stage,
        "groups": _places(layout.groups),
        "sections": _places(layout.sections),
        "fields": {flag: _field(spec, layout) for flag, spec in specs.items()},
    }


def as_typed(stage: str, values: dict[str, Any]) -> dict[str, Any]:
    """Values for the page. A share of all steps goes as text: in JavaScript 1.0, which is all of them, is 1."""
    specs = option_specs(STAGES[stage].options) if stage in STAGES else {}
    shares = {name for name, spec in specs.items() if spec.kind == "number"}
    return {
        name: str(value) if name in shares and isinstance(value, float) else value for name, value in values.items()
    }


def placed_flags(layout: Layout) -> list[str]:
    """Every flag that a layout places, in the order of the form."""
    lines = [*layout.groups.values(), *layout.sections.values()]
    return [flag for line in lines for flag in line.split()]


def _check_places(stage: str, layout: Layout, specs: dict[str, OptionSpec]) -> None:
    placed = placed_flags(layout)
    if sorted(placed) != sorted(specs):
        odd = sorted(set(placed) ^ set(specs)) or sorted(flag for flag in specs if placed.count(flag) > 1)
        raise ValueError(f"the layout of {stage} must place every option exactly once: {', '.join(odd)}")


def _places(lines: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "flags": flags.split()} for name, flags in lines.items()]


def _field(spec: OptionSpec, layout: Layout) -> Schema:
    """The facts of one field; what is empty, off or absent is left out, so the page loads less."""
    facts = {
        "kind": spec.kind,
        "default": spec.default,
        "choices": list(spec.choices or LISTED.get(spec.name, ())),
        "suggested": _suggested(spec.name),
        "many": spec.many,
        "optional": spec.optional,
        "required": spec.required,
        "positional": spec.positional,
        "low": spec.range.low,
        "high": spec.range.high,
        "zero": spec.range.zero is not None,
        "unit": spec.unit,
        "path": spec.path,
        "secret": spec.secret,
        "wide": spec.name in WIDE,
        "lines": spec.name in LINES,
        "shown": layout.shown.get(spec.name),
    }
    return {name: value for name, value in facts.items() if value is not None and value is not False and value != []}


def _suggested(flag: str) -> list[tuple[str, list[str]]]:
    """Names to choose from, under headings; the heading is empty where there is but one group."""
    groups = GROUPED.get(flag, {"": SUGGESTED.get(flag, ())})
    return [(heading, list(names)) for heading, names in groups.items() if names]
