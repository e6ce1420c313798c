"""From a stage's values to the command that runs it, and that command as text."""

import re
from pathlib import Path
from typing import Any

from kohya_gui.launching import launcher, split_values
from kohya_gui.project import is_path
from kohya_gui.stages import Stage
from kohya_gui.words import refusal, say
from sd_scripts.library.systems import Shell, command_text, script_text
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, option_specs
from sd_scripts.options.training import LATEST
from sd_scripts.options.values import to_argv

_HUB = ("model", "vae")


def absolute_values(stage: Stage, values: dict[str, Any], base: Path) -> dict[str, Any]:
    """The values with every path made absolute, so that the command runs from anywhere; hub ids stay."""
    specs = option_specs(stage.options)
    named = values.get("resume_from_huggingface") or values.get("resume") == LATEST
    there = {"resume"} if named else set()
    return {flag: value if flag in there else _absolute(specs[flag], value, base) for flag, value in values.items()}


def is_data(value: Any) -> bool:
    """Whether a value is no path but the file itself, as a data: URL."""
    return isinstance(value, str) and value.startswith("data:")


def _absolute(spec: OptionSpec, value: Any, base: Path) -> Any:
    if spec.path is None or not value or value == spec.default or is_data(value):
        return value
    if isinstance(value, list):
        return [_absolute(spec, one, base) for one in value]
    if spec.path in _HUB and not is_path(value) and not (base / value).exists():
        return value
    return str((base / Path(value).expanduser()).absolute())


def stage_argv(stage: Stage, values: dict[str, Any], repo: Path) -> list[str]:
    """The command of a stage: interpreter, or launcher, and script by their full paths, then the options."""
    launch, own = split_values(values)
    return [*launcher(launch), str(repo / "sd_scripts" / stage.script), *to_argv(SCRIPTS[stage.script], own)]


def with_placeholders(stage: Stage, values: dict[str, Any]) -> dict[str, Any]:
    """For showing a command that is not complete: what is missing stands at its place by name."""
    needed = {name: f"<{name}>" for name, spec in option_specs(stage.options).items() if spec.required}
    return {**needed, **values}


def texts(argv: list[str]) -> dict[str, str]:
    """The command for sh and for Windows' cmd, to be copied into a terminal."""
    return {shell: _text(argv, shell) for shell in ("sh", "cmd")}


def _text(argv: list[str], shell: Shell) -> str:
    try:
        return command_text(argv, shell)
    except ValueError:
        return say("command.line_break")


_FILES: dict[str, tuple[Shell, str]] = {"sh": ("sh", "sh"), "cmd": ("cmd", "bat")}


def script_file(argv: list[str], shell: str, name: str) -> dict[str, str]:
    """The command as a file for a terminal, with the name that it may have. Errors: BadOption."""
    if shell not in _FILES:
        raise refusal("shell", "command.unknown_shell", shell=shell)
    known, ending = _FILES[shell]
    try:
        text = script_text(argv, known)
    except ValueError as error:
        raise refusal("", "command.no_cmd_file") from error
    # Terminals take these letters without quotes.
    stem = re.sub(r"[^\w.]+", "-", name).strip("-.") or "run"
    return {"file_name": f"{stem}.{ending}", "text": text}
