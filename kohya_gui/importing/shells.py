"""Commands as they are pasted: split into words as sh, Windows' cmd or PowerShell would."""

import re
from dataclasses import dataclass, field
from typing import Literal

Shell = Literal["sh", "cmd", "powershell"]


@dataclass(frozen=True)
class _Grammar:
    """`escape` takes the meaning from the next letter; `quotes` begin a text that only they end."""

    escape: str
    quotes: str
    comment: str
    separators: tuple[str, ...]


_GRAMMARS: dict[Shell, _Grammar] = {
    "sh": _Grammar("\\", "\"'", "#", ("&&", "||", ";", "|", "&", "\n")),
    "cmd": _Grammar("^", '"', "", ("&&", "||", "|", "&", "\n")),
    "powershell": _Grammar("`", "\"'", "#", (";", "|", "\n")),
}

_MARKS: tuple[tuple[Shell, str], ...] = (
    ("powershell", r"`[ \t]*$|^[ \t]*& |\$env:"),
    ("cmd", r"\^[ \t]*$|%\w+%|^[ \t]*(set|rem|call|@echo)\b"),
    ("sh", r"\\[ \t]*$|\$\w|\$\{"),
    ("cmd", r"(?<!\w)[A-Za-z]:\\|\\\\\w|\.exe\b|\w\\\w"),
)
"""What gives a shell away, the surest first."""

_VARIABLES: dict[Shell, str] = {"sh": r"\$[{(A-Za-z_]", "cmd": r"%[^%\s]+%", "powershell": r"\$[{(A-Za-z_]"}

_GOES_ON = re.compile(r"[ \t]*[\\^`]?[ \t]*\r?\n(?=[ \t]*--)")
"""A line break before an option: the command goes on, also where its mark was lost or has a space behind it."""


@dataclass
class _Word:
    letters: list[str] = field(default_factory=list)
    begun: bool = False


def shell_of(text: str) -> Shell:
    """The shell that a command was written for."""
    return next((shell for shell, mark in _MARKS if re.search(mark, text, re.MULTILINE | re.IGNORECASE)), "sh")


def has_variable(word: str, shell: Shell) -> bool:
    """Whether a word holds a variable, whose value only that shell knows."""
    return bool(re.search(_VARIABLES[shell], word))


def split_commands(text: str, shell: Shell) -> list[list[str]]:
    """The words of every command in a text."""
    grammar = _GRAMMARS[shell]
    text = _GOES_ON.sub(" ", text.replace("\r\n", "\n"))
    commands: list[list[str]] = [[]]
    word = _Word()
    at = 0
    while at < len(text):
        separator = next((one for one in grammar.separators if text.startswith(one, at)), None)
        if separator or text[at].isspace():
            _end(word, commands)
            if separator:
                commands.append([])
            at += len(separator or " ")
        elif text[at] == grammar.comment and not word.begun:
            at = (text.find("\n", at) + len(text) + 1) % (len(text) + 1)
        else:
            at = _read(text, at, shell, word)
    _end(word, commands)
    return [command for command in commands if command]


def _end(word: _Word, commands: list[list[str]]) -> None:
    if word.begun:
        commands[-1].append("".join(word.letters))
    word.letters.clear()
    word.begun = False


def _read(text: str, at: int, shell: Shell, word: _Word) -> int:
    """Reads one letter, escape or quoted text into a word; where it ends."""
    grammar = _GRAMMARS[shell]
    if text[at] == grammar.escape and at + 1 < len(text):
        if text[at + 1] != "\n":
            word.letters.append(text[at + 1])
            word.begun = True
        return at + 2
    word.begun = True
    if text[at] in grammar.quotes:
        return _read_quoted(text, at, shell, word)
    word.letters.append(text[at])
    return at + 1


def _read_quoted(text: str, at: int, shell: Shell, word: _Word) -> int:
    """Reads what stands between quotes; one that nothing ends goes to the end of the text."""
    quote, escape = text[at], _QUOTED_ESCAPES[shell] if text[at] == '"' else ""
    at += 1
    while at < len(text) and text[at] != quote:
        escaped = text[at] == escape[:1] and text[at + 1 : at + 2] in tuple(escape[1:])
        if escaped and text[at + 1] != "\n":
            word.letters.append(text[at + 1])
        elif not escaped:
            word.letters.append(text[at])
        at += 2 if escaped else 1
    if shell == "powershell" and text[at + 1 : at + 2] == quote:
        # Two quotes within quotes are one.
        word.letters.append(quote)
        return _read_quoted(text, at + 1, shell, word)
    return at + 1


_QUOTED_ESCAPES: dict[Shell, str] = {"sh": '\\"\\$`\n', "cmd": '\\"', "powershell": '`"$`\n'}
"""The escape within double quotes, and behind it the letters that it escapes."""
