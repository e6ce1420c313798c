"""Pasted commands become the words that their shell would make of them."""

import subprocess

import pytest

from kohya_gui.importing.shells import VARIABLE, shell_of, split_commands
from sd_scripts.library.systems import command_text

ODD = ["", "a b", "it's", 'say "hi"', "50% off", "%PATH%", "$HOME", "`x`", "a\\", "\\\\server\\x y\\",
       "C:\\new dir\\t", "a^b", "(x)&y|z", "日本 語", "--x=1", "#no", "a;b", "!"]  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", "cmd"])
def test_commands_of_ours_are_read_back(shell):
    assert split_commands(command_text(["python", *ODD], shell), shell) == [["python", *ODD]]


def test_sh_is_read_as_sh_does():
    text = r"""run 'a b' "c \"d\" \$e \x" f\ g h\\i "" j"k"'l' # no comment
    """
    spoken = subprocess.run(
        ["sh", "-c", f"run() {{ printf '%s\\0' run \"$@\"; }}\n{text}"], capture_output=True, text=True
    )
    assert split_commands(text, "sh") == [spoken.stdout.split("\0")[:-1]]


@pytest.mark.parametrize(
    ("text", "shell", "words"),
    [
        ("run --a 'x y' \\\n  --b 2", "sh", ["run", "--a", "x y", "--b", "2"]),
        ("run --a 1 \\ \n  --b 2", "sh", ["run", "--a", "1", "--b", "2"]),
        ("run --a 1\n--b 2", "sh", ["run", "--a", "1", "--b", "2"]),
        ("run pics\\\n/x", "sh", ["run", "pics/x"]),
        ('run ^\r\n  --a "C:\\x y" ^\r\n --b', "cmd", ["run", "--a", "C:\\x y", "--b"]),
        ("run --a C:\\new\\table", "cmd", ["run", "--a", "C:\\new\\table"]),
        ("run `\n  --a 'it''s' `\n --b \"say `\"hi`\"\"", "powershell", ["run", "--a", "it's", "--b", 'say "hi"']),
        ("& .\\run.exe --a 1 `\n --b", "powershell", ["&", ".\\run.exe", "--a", "1", "--b"]),
        (
            "run --a 'x y' --b C:\\new --c \"D:\\t x\"",
            "powershell",
            ["run", "--a", "x y", "--b", "C:\\new", "--c", "D:\\t x"],
        ),
        ("run --a '%x% C:\\y'", "sh", ["run", "--a", "%x% C:\\y"]),
        ("run --a 'never ended", "sh", ["run", "--a", "never ended"]),
    ],
)
def test_continued_lines_and_quotes_of_each_shell(text, shell, words):
    assert shell_of(text) == shell
    assert split_commands(text, shell) == [words]


def test_several_commands_are_kept_apart():
    assert split_commands("cd /x && python a.py; b\nc", "sh") == [["cd", "/x"], ["python", "a.py"], ["b"], ["c"]]
    assert split_commands("cd /d C:\\x & python a.py\nc", "cmd") == [["cd", "/d", "C:\\x"], ["python", "a.py"], ["c"]]


def test_variables_are_marked_where_the_shell_would_read_them():
    assert split_commands("""$A "${B}" '$C' \\$D""", "sh") == [[f"{VARIABLE}$A", f"{VARIABLE}${{B}}", "$C", "$D"]]
    assert split_commands('%A% "x %B%" 5%', "cmd") == [[f"{VARIABLE}%A%", f"x {VARIABLE}%B%", "5%"]]
