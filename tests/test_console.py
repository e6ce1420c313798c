"""Lines for people: which are shown, where they go, and how they look there."""

import io
import logging
import re

import pytest

from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report
from sd_scripts.options.output import ConsoleOptions


@pytest.fixture(autouse=True)
def own_logging():
    """The level of Python's logging is given back."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)


def said(**options):
    """What a terminal shows of one line of every kind; options without their common beginning."""
    out = io.StringIO()
    report = Report(out=out)
    report.use_console(ConsoleOptions(**{f"console_log_{name}": value for name, value in options.items()}))
    report.phase("train", "Training", total=2)
    logging.getLogger("somebody").debug("a detail")
    report.progress(1)
    report.notice("Take care.", "warning")
    report.failed_item("a.png", "broken")
    report.progress(2)
    report.summary("Done.")
    report.say("Error: no.", "CRITICAL")
    report.close()
    return [line.strip() for line in out.getvalue().splitlines()]


ALL = ["Training", "Warning: Take care.", "2 of 2", "Done.", "left out: a.png: broken", "Error: no."]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, ALL),
        ("INFO", ALL),
        ("DEBUG", [ALL[0], "somebody: a detail", *ALL[1:]]),
        ("WARNING", ["Warning: Take care.", "left out: a.png: broken", "Error: no."]),
        ("ERROR", ["left out: a.png: broken", "Error: no."]),
        ("CRITICAL", ["Error: no."]),
    ],
)
def test_the_least_level_that_is_shown(level, expected):
    assert said(level=level) == expected


def test_the_file_gets_what_is_shown_with_time_and_level(tmp_path):
    log = tmp_path / "logs" / "said.log"
    assert said(file=str(log)) == ALL
    lines = log.read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ ", line) for line in lines)
    assert [line[20:].split(maxsplit=1) for line in lines] == [
        ["INFO", "Training"], ["WARNING", "Warning: Take care."], ["INFO", "2 of 2"], ["INFO", "Done."],
        ["ERROR", "left out: a.png: broken"], ["CRITICAL", "Error: no."],
    ]  # fmt: skip
    said(file=str(log))
    assert len(log.read_text(encoding="utf-8").splitlines()) == 2 * len(lines)


def test_simple_is_the_words_alone_on_standard_output(tmp_path, capsys):
    log = tmp_path / "said.log"
    assert said(file=str(log), simple=True) == []
    assert capsys.readouterr().out == log.read_text(encoding="utf-8")
    assert [line.strip() for line in log.read_text(encoding="utf-8").splitlines()] == ALL


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_its_progress_redrawn_and_a_file_has_it_now_and_then(tmp_path):
    out, log = Terminal(), tmp_path / "said.log"
    report = Report(out=out)
    report.use_console(ConsoleOptions(console_log_file=str(log)))
    for done in range(1, 4):
        report.progress(done, 3)
    report.close()
    assert out.getvalue() == "\r\033[K  3 of 3\r\033[K"
    assert log.read_text(encoding="utf-8").split("INFO")[1].strip() == "3 of 3"


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadOption, match="cannot be written to") as caught:
        said(file=str(tmp_path / "file" / "said.log"))
    assert caught.value.option == "console_log_file"
