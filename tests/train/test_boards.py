"""Logs of figures and samples: which are opened, where, and what stands in them."""

import importlib.util
import io
import json
import re

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sd_scripts.library.errors import BadOption, TrainingFailed
from sd_scripts.library.report import Report
from sd_scripts.library.train import board_kinds, boards
from sd_scripts.library.train.boards import board_names, check_boards, idle_logging, logged_options
from sd_scripts.options.training import LoggingOptions
from tests.train.tiny import make_trainer, options, tiny_data, train


def logs(tmp_path):
    """{folder below logs, its date as #: what is logged there}."""
    found = {}
    for path in (tmp_path / "logs").rglob("events.out.tfevents.*"):
        log = EventAccumulator(str(path))
        log.Reload()
        found[re.sub(r"\d{14}", "#", str(path.parent.relative_to(tmp_path / "logs")))] = log
    return found


def scalars(log, tag):
    return [(event.step, event.value) for event in log.Scalars(tag)]


def test_tensorboard_has_the_names_that_users_know(tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat --w 64 --h 64 --s 1\n")
    sampling = {"sample_prompts": str(tmp_path / "prompts.txt"), "sample_every_n_epochs": 1, "sample_at_first": True}
    _, recorder = train(
        tmp_path, data=tiny_data(2), text=True, max_train_epochs=2, logging_dir=str(tmp_path / "logs"), **sampling
    )
    [(folder, log)] = logs(tmp_path).items()
    assert folder == "#"
    assert {"loss/current", "loss/average", "loss/epoch_average", "lr/unet", "lr/text_encoder"} <= set(
        log.Tags()["scalars"]
    )
    losses = recorder.losses
    assert scalars(log, "loss/current") == [(step, pytest.approx(loss)) for step, loss in enumerate(losses, 1)]
    averages = [sum(losses[:2]) / 2, sum(losses[2:]) / 2]
    assert scalars(log, "loss/epoch_average") == [(2, pytest.approx(averages[0])), (4, pytest.approx(averages[1]))]
    assert [event.step for event in log.Images("sample_0")] == [0, 2, 4]
    assert (log.Images("sample_0")[0].width, log.Images("sample_0")[0].height) == (64, 64)
    [prompt, *_] = log.Tensors("sample_0/prompt/text_summary")
    assert prompt.tensor_proto.string_val[0] == b"a cat"


def test_the_folder_of_the_log(tmp_path):
    named = {"log_prefix": "mine-", "log_tracker_name": "meadow"}
    train(tmp_path, max_train_steps=1, logging_dir=str(tmp_path / "logs"), log_with="tensorboard", **named)
    assert list(logs(tmp_path)) == ["mine-#/meadow"]


def test_the_options_are_logged_when_asked_for(tmp_path):
    secret = {"wandb_api_key": "very secret", "log_config": True}
    train(tmp_path, max_train_steps=1, logging_dir=str(tmp_path / "logs"), learning_rate=2e-5, **secret)
    [log] = logs(tmp_path).values()
    text = log.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "learning_rate | `2e-05`\n" in text and 'pretrained_model_name_or_path | `"base.safetensors"`' in text
    hparams = log.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert b"learning_rate" in hparams
    everything = text.encode() + hparams
    assert b"very secret" not in everything and str(tmp_path).encode() not in everything


def test_nothing_is_logged_unasked(tmp_path):
    train(tmp_path, max_train_steps=1, logging_dir=str(tmp_path / "logs"))
    [log] = logs(tmp_path).values()
    assert log.Tags()["tensors"] == [] and "_hparams_/session_start_info" not in str(log.Tags())
    train(tmp_path, max_train_steps=1)
    assert len(logs(tmp_path)) == 1


def test_settings_of_tensorboard_come_from_a_file(tmp_path):
    config = tmp_path / "log.toml"
    config.write_text('[tensorboard]\nfilename_suffix = ".mine"\n')
    train(tmp_path, max_train_steps=1, logging_dir=str(tmp_path / "logs"), log_tracker_config=str(config))
    assert len(list((tmp_path / "logs").glob("*/events.out.tfevents.*.mine"))) == 1


def test_a_training_that_fails_closes_its_log(tmp_path):
    trainer, _ = make_trainer(tmp_path, logging_dir=str(tmp_path / "logs"))
    trainer._train = lambda: (_ for _ in ()).throw(TrainingFailed("no"))
    with pytest.raises(TrainingFailed):
        trainer.run()
    assert list(logs(tmp_path)) == ["#"]


def test_a_log_that_cannot_be_opened_closes_the_others(tmp_path, monkeypatch):
    closed = []

    class Opened:
        def __init__(self, plan):
            self.close = lambda failed: closed.append((plan.folder.parent.name, failed))

    def broken(plan):
        raise BadOption("log_with", "no")

    monkeypatch.setattr(boards, "_BOARDS", {"tensorboard": Opened, "wandb": broken})
    asked = options(tmp_path, log_with="all", logging_dir=str(tmp_path / "logs"))
    with pytest.raises(BadOption), boards.open_boards(asked, True, Report()):
        pass
    assert closed == [("logs", True)]


@pytest.mark.parametrize("back", [True, False])
def test_a_folder_that_goes_away_takes_no_figures_along(tmp_path, monkeypatch, capfd, back):
    """What was given before, while and after it was away stands in the log, and nothing but a sentence is said."""
    monkeypatch.setattr(board_kinds, "OPEN_AGAIN_S", 0.0)
    monkeypatch.setattr(board_kinds, "FLUSHED_EVERY_S", 0.0)
    out, folder, away = io.StringIO(), tmp_path / "logs" / "20260101000000", tmp_path / "away"
    asked = options(tmp_path, logging_dir=str(tmp_path / "logs"))
    monkeypatch.setattr(boards.time, "strftime", lambda form: folder.name)
    with boards.open_boards(asked, True, Report(out=out)) as [board]:
        board.scalars({"loss": 1.0}, 1)
        folder.rename(away)
        board.scalars({"loss": 2.0}, 2)
        board.scalars({"loss": 3.0}, 3)
        if back:
            away.rename(folder)
    said = out.getvalue()
    assert said.count("A log of figures cannot be written (No such file or directory)") == 1
    assert "Traceback" not in "".join(capfd.readouterr())
    if back:
        log = EventAccumulator(str(folder))
        log.Reload()
        assert {step for step, _ in scalars(log, "loss")} == {1, 2, 3} and "The log of figures is written again" in said
    else:
        assert "The log of figures lacks entries that could not be written: 2." in said and not folder.exists()


def test_what_may_be_shown(tmp_path):
    shown = logged_options(options(tmp_path, wandb_api_key="key", vae="C:\\models\\v.pt", resume=str(tmp_path / "s")))
    assert "wandb_api_key" not in shown
    assert (shown["vae"], shown["resume"], shown["learning_rate"]) == ("v.pt", "s", 1e-3)
    assert str(tmp_path) not in json.dumps(shown)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"logging_dir": "logs"}, ["tensorboard"]),
        ({"log_with": "wandb"}, ["wandb"]),
        ({"log_with": "wandb", "logging_dir": "logs"}, ["wandb"]),
        ({"log_with": "all", "logging_dir": "logs"}, ["tensorboard", "wandb"]),
    ],
)
def test_which_logs(values, expected):
    assert board_names(LoggingOptions(**values)) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read: No such file or directory."),
        ("[tensorboard", "is no TOML"),
        ("[aim]\nx = 1", '"aim" is not known. Write \\[tensorboard\\] or \\[wandb\\].'),
        ("tensorboard = 3", '"tensorboard" is not known'),
        ("[tensorboard]\nlog_dir = 'x'", r"\[tensorboard\] has no setting log_dir. It knows purge_step, max_queue"),
    ],
)
def test_mistakes_in_the_file_of_settings(tmp_path, text, sentence):
    path = tmp_path / "log.toml"
    if text:
        path.write_text(text)
    with pytest.raises(BadOption, match=sentence) as caught:
        check_boards(LoggingOptions(logging_dir=str(tmp_path), log_tracker_config=str(path)))
    assert caught.value.option == "log_tracker_config"


def test_what_is_missing_is_said_before(monkeypatch):
    with pytest.raises(BadOption, match="--log_with tensorboard needs --logging_dir"):
        check_boards(LoggingOptions(log_with="tensorboard"))
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else there(name))
    with pytest.raises(BadOption, match='needs the package wandb: ".+" -m pip install wandb$') as caught:
        check_boards(LoggingOptions(log_with="wandb"))
    assert caught.value.option == "log_with"


def test_what_has_no_effect_is_said():
    assert idle_logging(LoggingOptions()) == []
    assert idle_logging(LoggingOptions(log_config=True, log_tracker_name="a")) == [
        "--log_tracker_name has no effect without --logging_dir or --log_with.",
        "--log_config has no effect without --logging_dir or --log_with.",
    ]
    named = LoggingOptions(logging_dir="logs", log_config=True, wandb_run_name="first")
    assert idle_logging(named) == ["--wandb_run_name has no effect without --log_with wandb."]
    named.log_with = "all"
    assert idle_logging(named) == []


def test_only_the_main_process_logs(tmp_path):
    trainer, _ = make_trainer(tmp_path, logging_dir=str(tmp_path / "logs"), max_train_steps=1)
    trainer.main = False
    trainer.run()
    assert not (tmp_path / "logs").exists()
