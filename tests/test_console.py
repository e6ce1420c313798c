"""Lines for people: which are shown, where they go, and how they look there."""

import io
import logging
import re
import time

import pytest

from sd_scripts.library.console import MOST_MARKS, Bar, Console
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


def test_simple_shows_letters_that_the_system_lacks(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="cp1252"))
    report = Report()
    report.use_console(ConsoleOptions(console_log_simple=True))
    report.say("left out: \u732b.png")
    report.close()
    assert written.getvalue().decode("ascii").strip() == r"left out: \u732b.png"


def test_a_package_that_logs_nonsense_harms_nothing(capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    report = Report(out=io.StringIO())
    report.use_console(ConsoleOptions(console_log_level="WARNING"))
    logging.getLogger("somebody").warning("%d", "a")
    report.close()


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


class Clock:
    """A time that goes on when it is told to."""

    def __init__(self, monkeypatch):
        self.now_s = 1000.0
        monkeypatch.setattr("sd_scripts.library.console.time.monotonic", lambda: self.now_s)


def paces(clock, seconds_s, total):
    """(rate per second, seconds left) after each item, of items that take so long."""
    bar, console, found = Bar(), Console(io.StringIO()), []
    bar.start(total)
    for done, item_s in enumerate(seconds_s, 1):
        clock.now_s += item_s
        bar.advance(done, total, "", console)
        found.append((bar.rate_per_s, bar.eta_s))
    return found


def test_a_first_item_that_takes_minutes_says_nothing_of_the_others(monkeypatch):
    left_s = [eta_s for _, eta_s in paces(Clock(monkeypatch), [170.0] + [0.06] * 39, 40)]
    assert left_s[0] is None and max(eta_s for eta_s in left_s if eta_s is not None) < 3
    assert left_s[20] == pytest.approx(19 * 0.06, rel=0.1) and left_s[-1] == 0
    # What slow items are like is known from the second one on.
    slow = paces(Clock(monkeypatch), [170.0, 60.0, 60.0, 60.0], 10)
    assert [eta_s for _, eta_s in slow] == pytest.approx([None, 480.0, 420.0, 360.0])


def test_the_pace_is_steady_where_something_comes_again_and_again(monkeypatch):
    # Each hundredth step draws samples.
    steps_s = [30.2 if step % 100 == 0 else 0.2 for step in range(1, 4001)]
    rates = [rate for rate, _ in paces(Clock(monkeypatch), steps_s, 10_000)]
    assert all(rate == pytest.approx(2, rel=0.15) for rate in rates[1000:])


def test_a_million_items_are_counted_at_once(monkeypatch):
    bar, console = Bar(), Console(io.StringIO())
    bar.start(1_000_000)
    begun_s = time.process_time()
    for done in range(1, 100_001):
        bar.advance(done, 1_000_000, "", console)
    assert time.process_time() - begun_s < 1 and len(bar._marks) <= MOST_MARKS
