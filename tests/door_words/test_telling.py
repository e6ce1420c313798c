"""What is told, in a terminal, a log or an event: no secret is in it, and nothing that a terminal would obey."""

import io
import sys

import pytest

from sd_scripts.library import telling
from sd_scripts.library.console import Console
from sd_scripts.library.errors import UserError
from sd_scripts.library.events import Failed, LineReader, Notice, from_line, to_line
from sd_scripts.library.program import run_program
from sd_scripts.library.report import Report
from sd_scripts.options.scripts import SCRIPTS

TOKEN = "hf_SECRETMARK0123456789"
KEY = "0123456789SECRETMARK"
PASSWORD = "swordfishSECRETMARK"


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(telling, "_given", set())
    telling._of_environment.cache_clear()
    yield
    telling._of_environment.cache_clear()


@pytest.mark.parametrize("error", [RuntimeError, UserError, OSError])
def test_a_script_that_fails_quotes_no_secret(tmp_path, monkeypatch, capfd, error):
    """In sentences, tracebacks and events: of an option, of the environment, of an address, of the hub's shape."""
    events = tmp_path / "events.jsonl"
    monkeypatch.setenv("SD_SCRIPTS_EVENTS", str(events))
    monkeypatch.setattr(sys, "argv", ["fine_tune.py", f"--wandb_api_key={PASSWORD}"])

    def work(options, report):
        report.notice(f"key {options.logging.wandb_api_key} at https://me:{PASSWORD}@host/x")
        raise error(f"cannot log in with {PASSWORD}, {KEY} or {TOKEN} by proxy http://u:p{TOKEN}@host:3128")

    with pytest.raises(SystemExit):
        run_program(SCRIPTS["fine_tune.py"], work)
    told = "".join(capfd.readouterr()) + events.read_text()
    assert "cannot log in" in told and "SECRETMARK" not in told and "https://***@host" in told


def test_short_values_and_plain_names_are_no_secrets(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "a")
    telling._of_environment.cache_clear()
    assert telling.without_secrets("a banana at https://host/a@b") == "a banana at https://host/a@b"
    named = (
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "huggingface_token",
        "wandb_api_key",
        "AWS_SECRET_ACCESS_KEY",
        "password",
    )
    assert all(map(telling.is_secret_name, named))
    assert not any(
        map(
            telling.is_secret_name, ("token_string", "num_vectors_per_token", "max_token_length", "keep_tokens", "seed")
        )
    )


def test_a_terminal_is_told_nothing_that_it_obeys(tmp_path):
    out, log = io.StringIO(), io.StringIO()
    console = Console(out, log=log)
    console.line("left out: \x1b[2J\x1b]0;title\x07\x9b31m\u202egnp.exe\r.png\n\tsecond line")
    console.progress("\x1b[31m 1 of 2", draw=False, line=True)
    report = Report(out=out)
    report.failed_item("a\nError: all is lost.png", "\x1b[2J")
    report.list_failures()
    for told in (out.getvalue(), log.getvalue()):
        assert not set(told) & set("\x1b\x07\x9b\u202e\r")
    assert "\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\u202egnp.exe\\x0d.png\n\tsecond line" in out.getvalue()
    assert "left out: a\\x0aError: all is lost.png: \\x1b[2J\n" in out.getvalue()


@pytest.mark.parametrize("text", ["a\u2028b", "a\u2029b", "a\x85b", "a\x0bb\x0cc\x1cd\x1ee", "\x1b[2J", "a\nb"])
def test_no_sign_in_a_text_tears_an_event_apart(tmp_path, text):
    path = tmp_path / "events.jsonl"
    path.write_text(
        to_line(Notice(level="info", text=text)) + "\n" + to_line(Failed(sentence="end")) + "\n", encoding="utf-8"
    )
    read = [from_line(line) for line in LineReader(path).new_lines()]
    assert [found and found[1] for found in read] == [Notice(level="info", text=text), Failed(sentence="end")]
