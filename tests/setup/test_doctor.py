"""What doctor finds, and its verdict."""

import json
import socket
import sys

import pytest

from sd_scripts.tools import doctor
from sd_scripts.tools.doctor import Finding


def test_versions_show_what_is_installed():
    found = list(doctor.versions({"torch": "2.13.0"}, {"torch": "2.13.0+cpu", "gradio": "6.31.0"}.get))
    assert [finding.state for finding in found] == ["ok", "ok"]
    assert found[1].text == "torch 2.13.0+cpu, gradio 6.31.0"


def test_a_package_that_was_changed_by_hand_is_said():
    *_, changed = doctor.versions({"torch": "2.13.0"}, {"torch": "2.12.0"}.get)
    assert changed.state == "note"
    assert "torch 2.12.0 instead of 2.13.0" in changed.text


def test_a_package_that_disturbs_is_said():
    *_, harmful = doctor.versions({}, {"torchvision": "0.28"}.get)
    assert harmful.state == "note"
    assert "torchvision" in harmful.text


@pytest.mark.parametrize(("free_gb", "state"), [(0.5, "bad"), (5, "note"), (50, "ok")])
def test_disk(tmp_path, free_gb, state):
    finding = doctor.disk(tmp_path, int(free_gb * doctor.GB))
    assert finding.state == state
    assert str(tmp_path) in finding.text


def test_a_port_in_use_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        assert doctor.port(number) == Finding(
            "Port", "note", f"{number} is taken; start the page with --server_port and another number"
        )
    assert doctor.port(number).state == "ok"


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        (["ok", "ok"], "This machine can train."),
        (["ok", "note"], "This machine can train. Worth a look: thing 1."),
        (["note", "bad"], "This machine cannot train yet. Look at: thing 1."),
    ],
)
def test_verdict(states, sentence):
    assert doctor.verdict([Finding(f"Thing {n}", state, "") for n, state in enumerate(states)]) == sentence


def test_metadata_names_every_picture_once(tmp_path):
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "猫.jpg"):
        (tmp_path / "pictures" / name).touch()
    doctor.write_metadata(tmp_path)
    assert json.loads((tmp_path / "meta.json").read_text(encoding="utf-8")) == {
        "a": {"caption": "a picture"},
        "猫": {"caption": "a picture"},
    }


def fake_commands(folder, *, train):
    example = f"import pathlib; pathlib.Path({str(folder)!r}, 'pictures').mkdir()"
    return {"example": [sys.executable, "-c", example], "train": [sys.executable, "-c", train]}


def test_training_needs_a_checkpoint_at_the_end(tmp_path, monkeypatch):
    save = "import pathlib; p = pathlib.Path({!r}, 'out'); p.mkdir(); (p / 'doctor.safetensors').touch()"
    monkeypatch.setattr(
        doctor, "training_commands", lambda folder: fake_commands(folder, train=save.format(str(folder)))
    )
    folder = tmp_path / "good"
    folder.mkdir()
    assert doctor.training(folder).state == "ok"
    monkeypatch.setattr(doctor, "training_commands", lambda folder: fake_commands(folder, train="pass"))
    folder = tmp_path / "empty"
    folder.mkdir()
    assert doctor.training(folder) == Finding("Training", "bad", "two steps ran, but no checkpoint was written")


def test_a_failed_training_shows_its_last_words(tmp_path, monkeypatch):
    train = "import sys; print('loss is NaN'); sys.exit(3)"
    monkeypatch.setattr(doctor, "training_commands", lambda folder: fake_commands(folder, train=train))
    finding = doctor.training(tmp_path)
    assert finding.state == "bad"
    assert "loss is NaN" in finding.text
