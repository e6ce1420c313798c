"""Commands as text: what is pasted into a terminal arrives as it was."""

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library import systems

NASTY = [
    "", " ", "plain", "two words", "$(x)", "`x`", "$HOME", "it's", 'say "hi"', "a\\", "a b\\", 'a\\"b', "\\\\server\\x",
    "100%", "%PATH%", "%PATH", "a%PATH%b c", "^", "a^b", "a&b", "a|b", "<in>", "(x)", "!x!", ";", "*", "~", "#x",
    "C:\\My Pictures\\été", "夕焼け 猫", "🎨 art", "--flag=va lue", "%", '"', '""', '%PATH%"&calc"',
]  # fmt: skip
VARIABLES = {"PATH": "C:\\Windows", "HOME": "C:\\Users\\me"}


def cmd_at_the_prompt(line):
    """What cmd.exe hands to a program: variables first, then carets and quotes; refuses a second command."""

    def expanded(match):
        return VARIABLES.get(match[1].upper(), match[0])

    at = 0
    while (match := re.compile(r"%([^%]*)%").search(line, at)) is not None:
        value = expanded(match)
        known = value != match[0]
        line = line[: match.start()] + value + line[match.end() :]
        at = match.start() + (len(value) if known else 1)
    passed, quoted, characters = "", False, iter(line)
    for c in characters:
        if c == '"':
            quoted = not quoted
        elif not quoted and c == "^":
            c = next(characters)
        elif not quoted and c in "&|<>":
            raise AssertionError(f"cmd would start another command or redirect at {c!r} in: {line}")
        passed += c
    return passed


def arguments_of_a_windows_program(line):
    """The argument rules of Microsoft's C runtime, for every argument but the first."""
    args, at = [], 0
    while at < len(line):
        if line[at] == " ":
            at += 1
            continue
        arg, quoted = "", False
        while at < len(line) and (quoted or line[at] != " "):
            slashes = len(line) - at - len(line[at:].lstrip("\\"))
            at += slashes
            if line[at : at + 1] == '"':
                arg += "\\" * (slashes // 2)
                if slashes % 2:
                    arg += '"'
                elif quoted and line[at + 1 : at + 2] == '"':
                    arg += '"'
                    at += 1
                else:
                    quoted = not quoted
                at += 1
            else:
                arg += "\\" * slashes
                if not slashes:
                    arg += line[at]
                    at += 1
        args.append(arg)
    return args


def through_cmd(args):
    return arguments_of_a_windows_program(cmd_at_the_prompt(systems.command_text(args, "cmd")))


@pytest.mark.parametrize("arg", NASTY)
def test_one_argument_through_cmd(arg):
    assert through_cmd([arg]) == [arg]


def test_many_arguments_through_cmd():
    assert through_cmd(NASTY) == NASTY


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet="ab \\\"%^&|<>()!=$`'PATHé🎨", max_size=8), min_size=1, max_size=4))
def test_any_arguments_through_cmd(args):
    assert through_cmd(args) == args


def test_any_arguments_through_a_real_sh():
    args = [*NASTY, "line\nbreak"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    text = systems.command_text([sys.executable, "-c", code, *args], "sh")
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == args


def test_plain_arguments_stay_readable():
    argv = ["C:\\venv\\python.exe", "train.py", "--rate=5e-6", "C:\\My Pictures", "a & b"]
    assert systems.command_text(argv, "cmd") == ('C:\\venv\\python.exe train.py --rate=5e-6 "C:\\My Pictures" "a & b"')
    assert systems.command_text(["python", "a b", "c"], "sh") == "python 'a b' c"


def test_cmd_cannot_hold_a_line_break():
    with pytest.raises(ValueError, match="line break"):
        systems.command_text(["echo", "a\nb"], "cmd")
