"""Uploads to the hub and the way back, against a hub on this machine that the hub's own client talks to."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from huggingface_hub import constants

from sd_scripts.fine_tune import work
from sd_scripts.library.errors import BadOption, TrainingFailed
from sd_scripts.library.io import repository as repositories
from sd_scripts.library.io.repository import Repository
from sd_scripts.library.train.checks.output import check_states
from sd_scripts.library.train.remote_state import RemoteState, fetch_state, parse_remote
from sd_scripts.library.train.upload import Uploads, check_upload, make_uploads, prepare_upload
from sd_scripts.options.cli import parse
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.training import SavingOptions, StateOptions
from tests.hub import READS, WRITES, Failure, Stored, files_of, serving
from tests.train.test_program import SCRIPT, arguments, project  # noqa: F401  (project is a fixture)
from tests.train.tiny import Recorder, train


@pytest.fixture
def hub():
    with serving() as hub:
        yield hub


@pytest.fixture
def client(hub, monkeypatch, tmp_path):
    """The hub's client of this process, led to the hub."""
    hub.lead_here(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    return hub


# --- the script


def command(project, *more):  # noqa: F811
    plain = ["--max_train_steps=3", "--max_data_loader_n_workers=0"]
    return [sys.executable, str(SCRIPT), *arguments(project, *plain, *more)]


def environment(project, hub, home):  # noqa: F811
    plain = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "SD_SCRIPTS_EVENTS": str(project / "hub.jsonl")}
    (project / "hub.jsonl").unlink(missing_ok=True)
    return {**os.environ, **plain, **hub.environment(home)}


def run(project, hub, home, *more, **variables):  # noqa: F811
    done = subprocess.run(
        command(project, *more),
        cwd=project,
        env=environment(project, hub, home) | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )
    return done, [json.loads(line) for line in (project / "hub.jsonl").read_text().splitlines()]


def train_here(project, *more):  # noqa: F811
    """The same in this process, whose client was led to the hub: several times as fast."""
    recorder = Recorder()
    with warnings.catch_warnings():
        # The client's own way of sending, which its HTTP library calls an old one.
        warnings.simplefilter("ignore", DeprecationWarning)
        work(parse(FineTuneOptions, command(project, *more)[2:], "fine_tune.py"), recorder.report)
    return recorder


TO = ("--huggingface_repo_id=me/cats", "--huggingface_path_in_repo=runs/one")


def test_models_and_states_are_uploaded_and_come_back(project, hub, client, tmp_path):  # noqa: F811
    more = ["--save_state", "--save_every_n_steps=2", "--save_state_to_huggingface", f"--huggingface_token={WRITES}"]
    done, events = run(project, hub, tmp_path, *TO, *more)
    assert done.returncode == 0, done.stderr
    stored = hub.repositories["models/me/cats"]
    assert stored.private
    out = files_of(project / "out")
    assert {f"runs/one/{name}": data for name, data in out.items()} == stored.files
    assert {"new.safetensors", "new-step00000002.safetensors", "new-step00000002-state/optimizer.pt"} <= set(out)
    # A save is one commit: nobody meets half a state.
    assert len(stored.commits) == 1 + 4
    assert events[-1]["counts"] == {"steps": 3, "uploaded": 4}
    assert "Made the private repository me/cats on the hub." in done.stderr
    everything = done.stdout + done.stderr + (project / "hub.jsonl").read_text() + repr(list(stored.files.items()))
    assert WRITES not in everything and "sign3d" not in everything

    losses = [event["values"]["loss"] for event in events if event["event"] == "metric"]
    back = ["--resume=me/cats/runs/one/new-step00000002-state:main:model", "--resume_from_huggingface"]
    again = train_here(project, *back, f"--huggingface_token={READS}")
    assert "Going on after step 2" in again.said
    assert again.losses == losses[2:]


def test_training_ends_well_when_uploads_fail(project, client):  # noqa: F811
    client.repositories["models/me/cats"] = Stored(False)
    client.failures = [Failure("POST .*/commit/", 500, 2)]
    recorder = train_here(project, *TO, "--async_upload", "--save_every_n_steps=1", f"--huggingface_token={WRITES}")
    assert "was not uploaded: the hub answered with status 500. Training is not harmed" in recorder.said
    assert "Trying 2 uploads once more" in recorder.said
    assert set(client.repositories["models/me/cats"].files) == {
        f"runs/one/new{step}.safetensors" for step in ("", "-step00000001", "-step00000002", "-step00000003")
    }
    assert recorder.of("phase")[-1].name == "upload"
    assert recorder.events[-1].counts == {"steps": 3, "uploaded": 4}


def test_a_bad_token_is_said_before_the_model_is_read(project, client):  # noqa: F811
    with pytest.raises(BadOption) as caught:
        train_here(project, *TO, "--huggingface_token=hf_unknown")
    assert str(caught.value).startswith("Uploads to me/cats: the hub does not know the token.")
    assert "hf_unknown" not in str(caught.value)
    assert caught.value.option == "huggingface_token"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no Ctrl+C for one process alone")
@pytest.mark.parametrize(("interrupts", "codes"), [(1, {0}), (2, {0, 130})])
def test_ctrl_c_ends_the_waiting(interrupts, codes, project, hub, tmp_path):  # noqa: F811
    hub.failures = [Failure("PUT ", "hang")]
    (project / "out" / "new.safetensors").unlink(missing_ok=True)
    with subprocess.Popen(
        command(project, *TO, "--async_upload"),
        cwd=project,
        env=environment(project, hub, tmp_path) | {"HF_TOKEN": WRITES},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = ""
        for line in process.stderr:
            said += line
            waits = "Waiting for 1 upload to end" in line or ("Stopping" in line and interrupts == 2)
            if waits:
                process.send_signal(signal.SIGINT)
        # The first one ends the waiting, so the second may come when all is done.
        assert process.wait(60) in codes, said
    assert (project / "out" / "new.safetensors").is_file()
    assert process.returncode == 130 or "Not on the hub, as they were not waited for" in said


# --- names and combinations


REFUSALS = {
    "huggingface_path_in_repo": ({"huggingface_path_in_repo": "a"}, "needs --huggingface_repo_id"),
    "async_upload": ({"async_upload": True}, "needs --huggingface_repo_id"),
    "huggingface_token": ({"huggingface_token": "x"}, "nothing uses it"),
    "huggingface_repo_id": ({"huggingface_repo_id": "cats"}, "cats: a repository is named by its owner and its name"),
    "huggingface_repo_type": ({"huggingface_repo_id": "a/b", "huggingface_repo_type": "x"}, "model, dataset, space"),
    "huggingface_repo_visibility": (
        {"huggingface_repo_id": "a/b", "huggingface_repo_visibility": "all"},
        "public, private",
    ),
    "save_state_to_huggingface": (
        {"huggingface_repo_id": "a/b", "save_state_to_huggingface": True},
        "needs --save_state",
    ),
}


@pytest.mark.parametrize("option", REFUSALS)
def test_combinations_without_effect_are_refused(option):
    values, sentence = REFUSALS[option]
    with pytest.raises(BadOption, match=sentence) as caught:
        check_upload(HubOptions(**values), StateOptions())
    assert caught.value.option == option


@pytest.mark.parametrize("folder", ["..", "a/../b", "a//b", "a\\b", ".git"])
def test_folders_that_are_none_are_refused(folder):
    with pytest.raises(BadOption, match="write a folder such as models/cats"):
        check_upload(HubOptions(huggingface_repo_id="a/b", huggingface_path_in_repo=folder), StateOptions())


def test_resume_reads_as_upstream_does():
    assert parse_remote("me/cats/runs/one") == RemoteState("me/cats", "runs/one", None, "model")
    assert parse_remote("me/cats/x-state:v1") == RemoteState("me/cats", "x-state", "v1", "model")
    assert parse_remote("me/cats/a/b:main:dataset") == RemoteState("me/cats", "a/b", "main", "dataset")
    assert parse_remote("me/cats") == RemoteState("me/cats", "", None, "model")
    for wrong in ("cats", "me/cats/x:main:tree", "me/cats/x:1:model:2", "C:\\states"):
        with pytest.raises(BadOption) as caught:
            check_states(StateOptions(resume=wrong, resume_from_huggingface=True), SavingOptions())
        assert caught.value.option == "resume"
    with pytest.raises(BadOption, match="needs --resume owner/name/path"):
        check_states(StateOptions(resume_from_huggingface=True), SavingOptions())


# --- what the hub says before a start


def ready(token, **values):
    recorder = Recorder()
    prepare_upload(HubOptions(huggingface_repo_id="me/cats", huggingface_token=token, **values), recorder.report)
    return recorder.said


def test_the_repository_is_made_as_asked(client):
    assert "Made the public repository datasets/me/cats" in ready(
        WRITES, huggingface_repo_visibility="public", huggingface_repo_type="dataset"
    )
    assert not client.repositories["datasets/me/cats"].private
    assert ready(WRITES, huggingface_repo_type="dataset") == ""


def refused(option, match, token, **values):
    with pytest.raises(BadOption, match=match) as caught:
        ready(token, **values)
    assert caught.value.option == option


def test_what_the_hub_does_not_allow(client):
    refused("huggingface_token", "need a token: set the environment variable HF_TOKEN", None)
    refused("huggingface_repo_id", "the token may not write there", READS)
    refused("huggingface_repo_id", "Make it on the hub first", WRITES, huggingface_repo_type="space")
    client.repositories["models/me/cats"] = Stored(False)
    refused("huggingface_repo_id", "the token may not write there. Use a token with write access", READS)
    refused("huggingface_token", "the hub does not know the token", "hf_unknown")
    client.failures = [Failure("GET ", 502)]
    refused("huggingface_repo_id", "the hub answered with status 502. Try again later", WRITES)
    client.failures = [Failure("GET ", "drop")]
    refused("huggingface_repo_id", "the connection broke off", WRITES)


def test_a_hub_without_the_question_of_writing_is_asked_later(client):
    client.repositories["models/me/cats"] = Stored(False)
    client.failures = [Failure("auth-check", 404)]
    assert ready(WRITES) == ""


def test_a_state_that_is_not_there(client):
    client.repositories["models/me/cats"] = Stored(True, [{"runs/a-state/state.json": b"{}", "b.safetensors": b""}])
    recorder = Recorder()
    with pytest.raises(BadOption, match="the repository has no state there. States are at: runs/a-state"):
        fetch_state("me/cats/runs/b-state", READS, recorder.report)
    with pytest.raises(BadOption, match="the hub has no such repository, or hides it"):
        fetch_state("me/cats/runs/a-state", None, recorder.report)
    with pytest.raises(BadOption, match="the hub has no such repository, or hides it|no such revision"):
        fetch_state("me/cats/runs/a-state:v9", READS, recorder.report)
    assert (fetch_state("me/cats/runs/a-state", READS, recorder.report) / "state.json").read_bytes() == b"{}"
    client.failures = [Failure("GET ", "drop")]
    with pytest.raises(BadOption, match="the connection broke off"):
        fetch_state("me/cats/runs/a-state", READS, recorder.report)


# --- what goes wrong on the way


def uploads(wait_each):
    recorder = Recorder()
    hub = HubOptions(huggingface_repo_id="me/cats", huggingface_token=WRITES, async_upload=not wait_each)
    return make_uploads(hub, recorder.report), recorder


@pytest.mark.parametrize("wait_each", [True, False])
@pytest.mark.parametrize(
    ("what", "reason"), [(403, "may not write"), (500, "status 500"), ("drop", "connection broke off")]
)
def test_a_failure_is_told_and_tried_once_more(what, reason, wait_each, client, tmp_path):
    client.repositories["models/me/cats"] = Stored(False)
    client.failures = [Failure("/commit/", what, 3)]
    going, recorder = uploads(wait_each)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 9)
        going.add(tmp_path / name)
    going.finish()
    # Both failed; in the second round a failed once more, and b is there.
    assert client.repositories["models/me/cats"].files == {"b": b"b" * 9}
    assert recorder.said.count("a was not uploaded: ") == 2 and reason in recorder.said
    assert recorder.report.counts == {"uploaded": 1, "not_uploaded": 1}
    assert f"Not on the hub, as the last try failed: {tmp_path / 'a'}." in recorder.said
    assert [event.level for event in recorder.of("notice")].count("warning") == 4


def test_what_is_being_uploaded_is_not_removed():
    recorder, may_go, sent = Recorder(), threading.Event(), []

    def send(path, place):
        if path.name == "new":
            may_go.wait(60)
        sent.append(place)

    going = Uploads("in", False, send, recorder.report)
    going.add(Path("old"))
    going.add(Path("new"))
    going.release([Path("old")])
    assert sent == ["in/old"]
    may_go.set()
    going.finish()
    assert sent == ["in/old", "in/new"]


def test_a_hub_that_falls_silent_is_given_up(client, tmp_path, monkeypatch):
    monkeypatch.setattr(repositories, "SILENT_FOR_S", 0.3)
    client.repositories["models/me/cats"] = Stored(False)
    client.failures = [Failure("/commit/", "hang")]
    going, recorder = uploads(wait_each=True)
    (tmp_path / "a").write_bytes(b"a")
    going.add(tmp_path / "a")
    assert "a was not uploaded: the hub cannot be reached, or the connection broke off (ReadTimeout)" in recorder.said


def test_without_a_network(client, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused("huggingface_repo_id", "the hub cannot be reached", WRITES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("huggingface_repo_id", "HF_HUB_OFFLINE is set", WRITES)


def test_the_clients_own_words_stay_out_of_the_log(client, tmp_path, capfd):
    assert "Made the private repository me/cats" in ready(WRITES)
    client.failures = [Failure("PUT ", 500, 1)]
    going, recorder = uploads(wait_each=True)
    (tmp_path / "a.safetensors").write_bytes(b"abc")
    with warnings.catch_warnings():
        # The client passes files on in a way that its own transport calls old.
        warnings.simplefilter("ignore", DeprecationWarning)
        going.add(tmp_path / "a.safetensors")
        going.finish()
    assert client.repositories["models/me/cats"].files == {"a.safetensors": b"abc"}
    assert recorder.report.counts == {"uploaded": 1}
    assert capfd.readouterr().err == ""


def test_a_training_that_fails_still_uploads_what_was_saved(client, tmp_path):
    client.repositories["models/me/cats"] = Stored(False)
    values = {"huggingface_repo_id": "me/cats", "huggingface_token": WRITES, "async_upload": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(TrainingFailed):
            train(tmp_path, learning_rate=1e20, save_every_n_steps=1, save_model_as="ckpt", **values)
    out = files_of(tmp_path / "out")
    assert out and client.repositories["models/me/cats"].files == out


def test_a_file_that_is_gone_is_said(client, tmp_path):
    client.repositories["models/me/cats"] = Stored(False)
    going, recorder = uploads(wait_each=True)
    going.add(tmp_path / "gone.safetensors")
    assert "gone.safetensors was not uploaded: the file was removed before it was uploaded." in recorder.said


def test_any_error_of_the_client_is_a_sentence():
    recorder = Recorder()

    def send(path, place):
        raise RuntimeError("Error while uploading") from ValueError("strange\nanswer")

    going = Uploads("", True, send, recorder.report)
    going.add(Path("x"))
    assert "x was not uploaded: ValueError: strange. Training is not harmed" in recorder.said


def test_a_stop_ends_the_waiting_in_between(tmp_path):
    recorder = Recorder()
    going = Uploads("", True, lambda path, place: time.sleep(60), recorder.report)
    recorder.report.ask("stop")
    going.add(tmp_path / "x")
    assert recorder.report.requests() == ["stop"]
    recorder.report.ask("stop")
    going.finish()
    assert "Not on the hub, as they were not waited for" in recorder.said


def test_the_token_is_not_shown_by_accident():
    assert WRITES not in repr(Repository("me/cats", token=WRITES))
    assert repositories.KINDS == ("model", "dataset", "space")
