"""What a run is asked while it works, how it ends, and what it tells."""

import pytest

from sd_scripts.library.events import STEP_PARTS, Requests, request_line
from tests.train.tiny import TEXTS, make_trainer, tiny_data, train


def ask(tmp_path, request, at=2, prompts=None, **values):
    """Writes a request into the control file when a number of items has been loaded."""
    control, data = tmp_path / "control.jsonl", tiny_data()
    loaded, load = [], data.load

    def asking(item, moment):
        loaded.append(item)
        if len(loaded) == at:
            control.write_text(request_line(request, prompts))
        return load(item, moment)

    data.load = asking
    trainer, recorder = make_trainer(tmp_path, data=data, max_train_steps=8, **values)
    recorder.report._requests = Requests(control)
    trainer.run()
    return trainer, recorder


def test_stop_saves_the_state_and_ends(tmp_path):
    trainer, recorder = ask(tmp_path, "stop")
    assert trainer.place.step == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["X-step00000002-state"]
    [stopped] = recorder.of("stopped")
    assert "after step 2" in stopped.sentence
    trainer, resumed = train(tmp_path, resume=str(tmp_path / "out" / "X-step00000002-state"), max_train_steps=8)
    assert [event.step for event in resumed.of("metric")] == [3, 4, 5, 6, 7, 8]


def test_stop_after_the_epoch(tmp_path):
    trainer, recorder = ask(tmp_path, "stop_after_epoch")
    assert trainer.place.step == 4
    assert recorder.of("stopped")
    assert (tmp_path / "out" / "X-step00000004-state" / "state.json").exists()


def test_save_goes_on(tmp_path):
    trainer, recorder = ask(tmp_path, "save", save_state=True)
    assert trainer.place.step == 8
    assert not recorder.of("stopped")
    kinds = [(event.kind, event.step) for event in recorder.of("saved")]
    assert kinds == [("state", 2), ("model", 2), ("state", 8), ("model", 8)]


def test_sample_now(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a dog --w 64 --h 64 --s 1")
    _, recorder = ask(tmp_path, "sample", sample_prompts=str(file))
    assert [(event.step, event.prompt) for event in recorder.of("sample")] == [(2, "a dog")]
    assert "No --sample_prompts" not in recorder.said


@pytest.mark.parametrize(
    ("text", "drawn", "said"),
    [("a lake --w 64 --h 64 --s 1", "a lake", ""), ("a lake --w wide", "a dog", "that were sent are not drawn")],
)
def test_sample_now_with_prompts_that_come_with_it(tmp_path, text, drawn, said):
    own, sent = tmp_path / "own.txt", tmp_path / "sent.txt"
    own.write_text("a dog --w 64 --h 64 --s 1")
    sent.write_text(text)
    _, recorder = ask(tmp_path, "sample", prompts=str(sent), sample_prompts=str(own), sample_every_n_steps=4)
    assert [(event.step, event.prompt) for event in recorder.of("sample")] == [(2, drawn), (4, drawn), (8, drawn)]
    assert said in recorder.said


def test_sample_now_without_prompts_draws_the_first_texts(tmp_path):
    _, recorder = ask(tmp_path, "sample")
    assert [(event.step, event.prompt) for event in recorder.of("sample")] == [(2, text) for text in TEXTS[:4]]
    assert "No --sample_prompts were given: the texts of the first pictures are drawn." in recorder.said


def test_ctrl_c_takes_the_same_path(tmp_path):
    trainer, recorder = make_trainer(tmp_path)
    recorder.report.progress = lambda *_: recorder.report.ask("stop")
    trainer.run()
    # A step's figures are read one step late.
    assert trainer.place.step == 2 and recorder.of("stopped")


def test_a_stop_before_the_first_step(tmp_path):
    trainer, recorder = make_trainer(tmp_path)
    recorder.report.ask("stop")
    trainer.run()
    assert [event.sentence for event in recorder.of("stopped")] == ["Stopped as asked before the first step."]
    assert not (tmp_path / "out").exists()


def test_a_stop_at_the_last_step_is_the_end(tmp_path):
    trainer, recorder = ask(tmp_path, "stop", at=8)
    assert trainer.place.step == 8 and not recorder.of("stopped")
    assert (tmp_path / "out" / "X.safetensors").exists()


def test_what_a_run_tells(tmp_path):
    _, recorder = train(tmp_path, text=True, logging_dir=str(tmp_path / "logs"), log_prefix="try-")
    values = recorder.of("metric")[0].values
    assert set(values) == {
        "loss", "loss_average", "lr", "lr/unet", "lr/text_encoder", "grad_norm", "memory_bytes", "step_s", *STEP_PARTS,
    }  # fmt: skip
    assert values["memory_bytes"] > 1e6 and values["grad_norm"] > 0
    assert [event.name for event in recorder.of("phase")] == ["train", "save"]
    assert recorder.of("progress")[-1].done == 3
    assert recorder.of("summary")[0].counts["steps"] == 3
    assert "epoch 1 of 1, loss" in recorder.said


def test_tensorboard_reads_the_logs(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, recorder = train(tmp_path, logging_dir=str(tmp_path / "logs"), log_prefix="try-")
    [folder] = (tmp_path / "logs").iterdir()
    assert folder.name.startswith("try-20") and len(folder.name) == 18
    logs = EventAccumulator(str(folder))
    logs.Reload()
    assert [scalar.step for scalar in logs.Scalars("loss/current")] == [1, 2, 3]
    assert [scalar.value for scalar in logs.Scalars("loss/current")] == pytest.approx(recorder.losses)
    told = {"loss/average", "lr/unet", "grad_norm", "time/step_s", "time/backward_s", "memory/memory_bytes"}
    assert told <= set(logs.Tags()["scalars"])


def test_parts_that_stand_still_are_told(tmp_path):
    _, recorder = train(tmp_path, learning_rate=0.0)
    assert "The unet has not changed" in recorder.said
