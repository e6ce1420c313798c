"""Commands as they are pasted: split into words as sh, Windows' cmd or PowerShell would."""

import re
from dataclasses import dataclass, field
from typing import Literal

Shell = Literal["sh", "cmd", "powershell"]
Commands = list[list[str]]

VARIABLE = "\ufdd0"
"""Stands in a word before a variable, whose value only its shell knows. No text has this character."""


@dataclass(frozen=True)
class _Grammar:
    """`escape` takes the meaning from the next letter; `escaped`: those from which it takes it within double quotes."""

    escape: str
    escaped: str
    separators: tuple[str, ...]


_GRAMMARS: dict[Shell, _Grammar] = {
    "sh": _Grammar("\\", '\\"$`\n', ("&&", "||", ";", "|", "&", "\n")),
    "powershell": _Grammar("`", '`"$\n', (";", "|", "\n")),
}

_MARKS: tuple[tuple[Shell, str], ...] = (
    ("powershell", r"`[ \t]*$|^[ \t]*& |\$env:"),
    ("cmd", r"\^[ \t]*$|\^[\"%&()!<>|]|%\w+%|^[ \t]*(set|rem|call|@echo)\b"),
    ("sh", r"\\[ \t]*$|\$\w|\$\{"),
)
"""What gives a shell away, the surest first."""

_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:\\|\\\\\w|\.exe\b|\w\\\w")
"""Paths as they are written on Windows."""

_QUOTED = re.compile(r"'[^'\n]*'|(\"[^\"\n]*\")")

_GOES_ON = re.compile(r"(?<![ \t])[ \t]*(?:[\\^`][ \t]*)?\n(?=[ \t]*--)")
"""A line break before an option: the command goes on, also where its mark was lost or has a space behind it."""

_NAME = re.compile(r"\$[A-Za-z_{(]")
_CMD_NAME = re.compile(r"%[^%\s^]+%")


@dataclass
class _Word:
    letters: list[str] = field(default_factory=list)
    begun: bool = False

    def end(self, command: list[str]) -> None:
        """Puts the word into a command, if it has begun."""
        if self.begun:
            command.append("".join(self.letters))
        self.letters.clear()
        self.begun = False


def shell_of(text: str) -> Shell:
    """The shell that a command was written for."""
    # What stands between single quotes is nobody's mark; that there are some is: cmd knows none.
    text = _QUOTED.sub(lambda quoted: quoted[1] or "''", text)
    found = next((shell for shell, mark in _MARKS if re.search(mark, text, re.MULTILINE | re.IGNORECASE)), None)
    if found or not _WINDOWS.search(text):
        return found or "sh"
    return "powershell" if "''" in text else "cmd"


def split_commands(text: str, shell: Shell) -> Commands:
    """The words of every command in a text."""
    text = _GOES_ON.sub(" ", text.replace("\r\n", "\n"))
    if shell == "cmd":
        commands = [_words_of_windows(line) for line in _cmd_lines(text)]
    else:
        commands = _split(text, _GRAMMARS[shell], doubled_quotes=shell == "powershell")
    return [command for command in commands if command]


def _split(text: str, grammar: _Grammar, doubled_quotes: bool) -> Commands:
    commands: Commands = [[]]
    word = _Word()
    at = 0
    while at < len(text):
        separator = next((one for one in grammar.separators if text.startswith(one, at)), None)
        if separator or text[at].isspace():
            word.end(commands[-1])
            if separator:
                commands.append([])
            at += len(separator or " ")
        elif text[at] == "#" and not word.begun:
            line_end = text.find("\n", at)
            at = line_end if line_end >= 0 else len(text)
        elif text[at] in "\"'":
            at = _read_quoted(text, at, grammar, doubled_quotes, word)
        else:
            at = _read_plain(text, at, grammar, word)
    word.end(commands[-1])
    return commands


def _read_plain(text: str, at: int, grammar: _Grammar, word: _Word) -> int:
    """Reads one letter, or an escaped one; where it ends."""
    if text[at] == grammar.escape and at + 1 < len(text):
        if text[at + 1] != "\n":
            word.begun = True
            word.letters.append(text[at + 1])
        return at + 2
    word.begun = True
    word.letters.append((VARIABLE if _NAME.match(text, at) else "") + text[at])
    return at + 1


def _read_quoted(text: str, at: int, grammar: _Grammar, doubled_quotes: bool, word: _Word) -> int:
    """Reads what stands between quotes; what nothing ends goes to the end of the text."""
    quote = text[at]
    word.begun = True
    at += 1
    while at < len(text):
        following = text[at + 1 : at + 2]
        if text[at] == quote and not (doubled_quotes and following == quote):
            return at + 1
        if text[at] == quote:
            word.letters.append(quote)
            at += 2
        elif quote == '"' and text[at] == grammar.escape and following and following in grammar.escaped:
            word.letters.append(following.strip("\n"))
            at += 2
        else:
            is_variable = quote == '"' and _NAME.match(text, at)
            word.letters.append((VARIABLE if is_variable else "") + text[at])
            at += 1
    return at


def _cmd_lines(text: str) -> list[str]:
    """What cmd hands to programs: variables marked, its carets gone, one text for each command."""
    lines = [""]
    quoted = False
    at = 0
    while at < len(text):
        name = _CMD_NAME.match(text, at)
        if name:
            lines[-1] += VARIABLE + name[0]
            at = name.end()
            continue
        if text[at] == "^" and not quoted:
            lines[-1] += text[at + 1 : at + 2].strip("\n")
            at += 2
            continue
        if text[at] == "\n" or (text[at] in "&|" and not quoted):
            lines.append("")
            quoted = False
        else:
            quoted ^= text[at] == '"'
            lines[-1] += text[at]
        at += 1
    return lines


def _words_of_windows(line: str) -> list[str]:
    """Words as a program on Windows reads them: a backslash means itself, except before a quote."""
    words: list[str] = []
    word = _Word()
    quoted = False
    at = 0
    while at < len(line):
        slashes = next((i for i in range(len(line) - at) if line[at + i] != "\\"), len(line) - at)
        before_quote = line[at + slashes : at + slashes + 1] == '"'
        if slashes:
            word.begun = True
            word.letters.append("\\" * (slashes // 2 if before_quote else slashes))
            at += slashes
            if before_quote and slashes % 2:
                word.letters.append('"')
                at += 1
        elif line[at] == '"' and quoted and line[at + 1 : at + 2] == '"':
            word.letters.append('"')
            at += 2
        elif line[at] == '"':
            word.begun, quoted = True, not quoted
            at += 1
        elif line[at].isspace() and not quoted:
            word.end(words)
            at += 1
        else:
            word.begun = True
            word.letters.append(line[at])
            at += 1
    word.end(words)
    return words
