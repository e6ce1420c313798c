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


def cmd_in_a_file(text):
    """What cmd.exe hands to a program from a .bat: per line percent signs first, then carets, line ends and quotes."""
    expanded = re.sub(r"%%|%([^%\r\n]*)%|%", lambda m: "%" if m[0] == "%%" else VARIABLES.get(m[1] or "", ""), text)
    return cmd_at_the_prompt(expanded.replace("^\r\n", "").replace("%", "\0")).replace("\0", "%")


def through_batch(args):
    lines = systems.script_text(["train.py", *args], "cmd").split("\r\n")
    begin = next(place for place, line in enumerate(lines) if line.startswith("train.py"))
    command = "\r\n".join(lines[begin : lines.index("exit /b %ERRORLEVEL%")])
    return arguments_of_a_windows_program(cmd_in_a_file(command))[1:]


@pytest.mark.parametrize("arg", NASTY)
def test_one_argument_through_a_batch_file(arg):
    assert through_batch([arg]) == [arg]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="ab- \\\"%^&|<>()!=$`'PATHé🎨", max_size=8), min_size=1, max_size=4))
def test_any_arguments_through_a_batch_file(args):
    assert through_batch(args) == args


def test_any_arguments_through_a_real_sh_file(tmp_path):
    args = [*NASTY, "--flag", "line\nbreak", "--", "--x=1"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    file = tmp_path / "run.sh"
    file.write_text(systems.script_text([sys.executable, "-c", code, *args], "sh"), encoding="utf-8")
    done = subprocess.run(["sh", str(file)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == args


def test_a_batch_file_says_its_letters_and_its_limits():
    assert "chcp 65001" in systems.script_text(["a", "夕焼け"], "cmd")
    assert "chcp" not in systems.script_text(["a", "b"], "cmd")
    with pytest.raises(ValueError, match="longer than"):
        systems.script_text(["a", *["x" * 100] * 100], "cmd")
    with pytest.raises(ValueError, match="line break"):
        systems.script_text(["a\nb"], "cmd")
