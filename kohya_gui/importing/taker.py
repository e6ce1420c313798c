"""One value after the other into the options of a stage, by the flags of sd-scripts. Nothing is coerced."""

import difflib
import functools
import json
from pathlib import Path
from typing import Any

from kohya_gui.importing.report import Line, Report, shown
from kohya_gui.layout import LISTED
from kohya_gui.stages import STAGES
from kohya_gui.words import bad_value, say, say_or
from sd_scripts.library.telling import is_secret_name
from sd_scripts.options.optimizer import OPTIMIZERS
from sd_scripts.options.refused import REFUSED
from sd_scripts.options.spec import OptionSpec, option_specs
from sd_scripts.options.values import BadValue, read_value

HIDDEN = "•••"
_OFF = ("", "none", "false", "0", "0.0", "[]", "{}")


class Unfit(ValueError):
    """A value that an option does not take, in a sentence of its own."""


class Taker:
    """Takes values into a report.

    `zero_is_unset`: the source writes 0 where a number is not given, as kohya_ss's sliders do.
    """

    def __init__(self, report: Report, zero_is_unset: bool = False) -> None:
        self.report = report
        self.zero_is_unset = zero_is_unset
        stage = STAGES[report.stage]
        self.specs = option_specs(stage.options)
        self._known = {name: spec for spec in self.specs.values() for name in (spec.name, *spec.former)}
        self._refused = REFUSED.get(Path(stage.script).stem, {})

    def spec(self, flag: str) -> OptionSpec | None:
        """The option of a flag, which may be an old name of it."""
        return self._known.get(flag)

    def take(self, flag: str, given: Any, key: str | None = None, how: str = "", stood: Any = None) -> None:
        """Takes a value for a flag. `key`: its name in the source.

        `how`: what was changed about it already, and `stood`: as it stood before that.
        """
        key, spec = key or flag, self.spec(flag)
        if given is None or given in ("", []) or self._is_none(spec, given):
            self.unused(key, given, say("import.empty"))
        elif is_secret(flag) or is_secret(key) or (spec and spec.secret):
            self.leave(key, HIDDEN, say("import.secret"))
        elif spec is None:
            self._take_none(flag, given, key)
        elif self._is_unset(spec, given):
            self.unused(key, given, say("import.zero"))
        else:
            self._read(spec, given, key, how, given if stood is None else stood)

    def leave(self, key: str, given: Any, why: str) -> None:
        """Says of a value why it is not taken."""
        self.report.add(Line(key, shown(given), "left", why))

    def unused(self, key: str, given: Any, why: str) -> None:
        """Says that there is nothing to take."""
        self.report.add(Line(key, shown(given), "unused", why))

    def _read(self, spec: OptionSpec, given: Any, key: str, how: str, stood: Any) -> None:
        try:
            value, changed = read_given(spec, given)
        except BadValue as error:
            self.leave(key, stood, bad_value(error))
            return
        except Unfit as error:
            self.leave(key, stood, str(error))
            return
        how = " ".join(filter(None, [how, changed]))
        self.report.add(Line(key, shown(stood), "changed" if how else "taken", how, spec.name, value))

    def _is_none(self, spec: OptionSpec | None, given: Any) -> bool:
        """Whether a value is the word None, as Python writes what is not set into files."""
        by_python = self.report.source in ("kohya_ss", "metadata")
        return by_python and str(given).lower() == "none" and not (spec and given in spec.choices)

    def _is_unset(self, spec: OptionSpec, given: Any) -> bool:
        if spec.kind in ("bool", "str"):
            return False
        if given is False:
            return True
        is_zero = self.zero_is_unset and str(given).strip() in ("0", "0.0")
        return is_zero and (spec.default is None or (spec.range.low is not None and spec.range.low > 0))

    def _take_none(self, flag: str, given: Any, key: str) -> None:
        """For a flag that is no option here: the reason, unless it is off anyway."""
        if is_off(given):
            self.unused(key, given, say("import.off"))
        else:
            self.leave(key, given, self.reason(flag))

    def reason(self, flag: str) -> str:
        """Why there is no option of that name."""
        if flag in self._refused:
            return say_or(f"import.no_{flag}", say("import.refused", flag=flag, sentence=self._refused[flag]))
        if flag in elsewhere():
            return belongs_to(elsewhere()[flag])
        for other in STAGES.values():
            if other.id != self.report.stage and flag in option_specs(other.options):
                return say("import.other_stage", stage=say(f"stage.{other.id}"))
        near = difflib.get_close_matches(flag, self._known, n=1, cutoff=0.6)
        return say("import.unknown_near", near=near[0]) if near else say("import.unknown")


def read_given(spec: OptionSpec, given: Any) -> tuple[Any, str]:
    """(value, what was changed about it) of an option. Errors: BadValue, Unfit."""
    if isinstance(given, dict) or (isinstance(given, list) and not spec.many):
        raise Unfit(say("import.one_value"))
    if isinstance(given, bool) and spec.kind != "bool":
        raise Unfit(say("import.no_switch"))
    if spec.kind == "bool" and str(given) in ("0", "1"):
        return (True, say("import.switch_on")) if str(given) == "1" else (False, say("import.switch_off"))
    value = read_value(spec, given)
    if spec.name == "optimizer_type":
        return optimizer(value)
    listed = tuple(LISTED.get(spec.name, ()))
    if listed and value not in listed:
        raise BadValue("not_a_choice", value=value, choices=", ".join(listed))
    return value, ""


def optimizer(name: str) -> tuple[str, str]:
    """An optimizer as it is spelt here, and what was changed. Errors: Unfit, for a short name that is none of ours."""
    by_lower = {known.lower(): known for known in OPTIMIZERS}
    ours = by_lower.get(name.lower(), name if "." in name else None)
    if ours is None:
        near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
        names = ", ".join(by_lower[one] for one in near)
        raise Unfit(say("import.optimizer_near", near=names) if near else say("import.no_optimizer"))
    return ours, "" if ours == name else say("import.spelt", name=ours)


def is_secret(flag: str) -> bool:
    """Whether a flag's value is nobody else's business."""
    return is_secret_name(flag)


def is_off(given: Any) -> bool:
    """Whether a value says that something is not used: off, 0, empty."""
    return given is None or str(given).strip().lower() in _OFF


def belongs_to(group: str) -> str:
    """The sentence for what belongs to a method or model that is not trained here, or to another program."""
    return say(f"import.group.{group}")


@functools.cache
def elsewhere() -> dict[str, str]:
    """{flag of sd-scripts: what it belongs to} of flags that fine_tune.py has nowhere."""
    return {flag: group for group, flags in table("elsewhere")["flags"].items() for flag in flags.split()}


@functools.cache
def table(name: str) -> dict[str, Any]:
    """One of the tables beside this module."""
    read: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    return read
