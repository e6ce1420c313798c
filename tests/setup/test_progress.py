"""What the user sees while packages arrive."""

import io

import pytest

from installer.progress import PipReader, Steps


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_when_a_step_starts_and_one_when_it_is_done():
    out = io.StringIO()
    steps = Steps(2, out)
    with steps.step("PyTorch"):
        steps.detail("1 so far, torch")
    with steps.step("The rest"):
        pass
    assert out.getvalue().splitlines() == [
        "[1/2] PyTorch",
        "[1/2] PyTorch: done in 0 s",
        "[2/2] The rest",
        "[2/2] The rest: done in 0 s",
    ]


def test_a_terminal_gets_one_line_that_is_rewritten():
    out = Terminal()
    steps = Steps(1, out)
    with steps.step("PyTorch"):
        steps.detail("downloading torch")
    assert out.getvalue().count("\n") == 1
    last_shown = out.getvalue().split("\r")[-1]
    assert last_shown.rstrip() == "[1/1] PyTorch: done in 0 s"
    assert "downloading torch" in out.getvalue()


def test_a_failed_step_does_not_say_done():
    out = io.StringIO()
    with pytest.raises(RuntimeError), Steps(1, out).step("PyTorch"):
        raise RuntimeError
    assert "done" not in out.getvalue()


def test_pips_lines_become_words():
    reader = PipReader()
    assert reader.read("Collecting torch==2.13.0 (from -c constraints.txt)\n") == "1 so far, torch"
    assert reader.read("  Downloading torch-2.13.0-cp311-cp311-linux_x86_64.whl (190.1 MB)\n") == (
        "1 so far, downloading torch (190.1 MB)"
    )
    assert reader.read("  Downloading https://host/path/numpy-2.4.6-cp311.whl (20 MB)\n") == (
        "1 so far, downloading numpy (20 MB)"
    )
    assert reader.read("Installing collected packages: a, b, c\n") == "unpacking 3 packages"
    assert reader.read("Requirement already satisfied: torch\n") is None
