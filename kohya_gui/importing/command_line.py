"""A pasted command line of sd-scripts: of which script it is, and its options."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from kohya_gui.importing.report import Report
from kohya_gui.importing.shells import VARIABLE, shell_of, split_commands
from kohya_gui.importing.taker import HIDDEN, Taker, belongs_to, is_secret, table
from kohya_gui.launching import FLAGS
from kohya_gui.stages import STAGES
from kohya_gui.words import refusal, say

_OURS = {PurePosixPath(stage.script).name: stage.id for stage in STAGES.values()}


def read_command(text: str, stage: str, name: str) -> Report:
    """The report of a command. `stage`: the one that is meant where the text names no script. Errors: BadOption."""
    commands = split_commands(text, shell_of(text))
    words = next((words for words in commands if _script_at(words) is not None), None)
    words = words or next((words for words in commands if any(word.startswith("--") for word in words)), None)
    if words is None:
        raise refusal("text", "import.no_command")
    at = _script_at(words)
    script = _file_name(words[at]) if at is not None else ""
    report = Report("command", _OURS.get(script, "train" if script else stage), name)
    taker = Taker(report)
    if at is not None:
        _about_script(report, script)
        _take_launch(taker, words[:at])
    start = at + 1 if at is not None else next(i for i, word in enumerate(words) if word.startswith("--"))
    take_words(taker, words[start:])
    return report


def words_of(text: str) -> list[str]:
    """The words of a text that holds options only."""
    return [word for words in split_commands(text, shell_of(text)) for word in words]


def take_words(taker: Taker, words: list[str], before: str = "") -> None:
    """Takes options and their values. `before`: what stands in the report before each name."""
    places = [spec for spec in taker.specs.values() if spec.positional]
    for flag, values in _given(taker, words):
        key = before + (f"--{flag}" if flag else " ".join(values).replace(VARIABLE, ""))
        if any(VARIABLE in value for value in values) and not is_secret(flag):
            taker.leave(key, [value.replace(VARIABLE, "") for value in values], say("import.variable"))
        elif flag:
            _take(taker, flag, values, key)
        elif places:
            taker.take(places[0].name, values[0], places.pop(0).name)
        else:
            taker.leave(key, "", say("import.one_too_many"))


def _take(taker: Taker, flag: str, values: list[str], key: str) -> None:
    spec = taker.spec(flag)
    if spec is None:
        taker.take(flag, " ".join(values) if values else True, key)
    elif spec.kind == "bool":
        taker.take(flag, values[0] if values else True, key)
    elif not values:
        taker.leave(key, "", say("import.needs_value"))
    else:
        taker.take(flag, values if spec.many else values[0], key)


def _given(taker: Taker, words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(flag without its dashes, its values) in order; a word that belongs to no flag has "" for a flag."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("--"):
            yield "", [word]
            continue
        name, equals, value = word[2:].partition("=")
        flag = name.replace("-", "_")
        if equals:
            yield flag, [value]
            continue
        end = at
        while end < len(words) and not words[end].startswith("--") and end - at < _most(taker, flag, words[end]):
            end += 1
        yield flag, words[at:end]
        at = end


def _most(taker: Taker, flag: str, following: str) -> float:
    """How many words a flag takes at most; one that is not known takes all up to the next flag."""
    spec = taker.spec(flag)
    if spec is None or spec.many:
        return float("inf")
    if spec.kind == "bool":
        return 1 if following.lower() in ("true", "false", "0", "1") else 0
    return 1


def _take_launch(taker: Taker, words: list[str]) -> None:
    """What `accelerate launch` and the like were told, before the script."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        variable = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word)
        if variable:
            value = HIDDEN if is_secret(variable[1]) else variable[2].replace(VARIABLE, "")
            taker.leave(variable[1], value, say("import.environment"))
        elif word.startswith("--"):
            name, _, value = word.partition("=")
            if not value and at < len(words) and not words[at].startswith("-"):
                value = words[at]
                at += 1
            _take_word(taker, name.removeprefix("--").replace("-", "_"), value, f"accelerate {name}")


def _take_word(taker: Taker, flag: str, value: str, key: str) -> None:
    """What accelerate was told, as far as the page tells it the same."""
    if is_secret(flag):
        taker.leave(key, HIDDEN, say("import.secret"))
    elif value in table("kohya_ss")["nothing"].get(flag, ()):
        taker.unused(key, value, say("import.usual_launch"))
    elif flag in FLAGS and VARIABLE not in value:
        taker.take(flag, value, key)
    else:
        taker.leave(key, value.replace(VARIABLE, ""), belongs_to("launch"))


def _about_script(report: Report, script: str) -> None:
    group = next((group for group, names in table("elsewhere")["scripts"].items() if script in names.split()), None)
    if script in _OURS:
        return
    if group:
        method, stage = say(f"import.name.{group}"), say(f"stage.{report.stage}")
        report.about.append(say("import.method", method=method, stage=stage))
    else:
        report.about.append(say("import.script", script=script))


def _script_at(words: list[str]) -> int | None:
    return next((i for i, word in enumerate(words) if word.lower().endswith(".py")), None)


def _file_name(path: Any) -> str:
    return PurePosixPath(str(path).replace("\\", "/")).name
