"""Branches: what goes on from a state with changed options, which take effect and are listed everywhere."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from sd_scripts.library import events
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.output import check_output
from sd_scripts.library.train.going_on import settle
from sd_scripts.library.train.state_facts import facts_of
from tests.train.tiny import Recorder, options, train


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state of step 2, of AdamW with a weight decay."""
    folder = tmp_path_factory.mktemp("branched")
    train(folder, max_train_steps=2, save_state=True, optimizer_args=["weight_decay=0.1"])
    return folder / "out" / "X-state"


def branch(folder: Path, state: Path, **values):
    """Trains a branch to step 4: (trainer, recorder), with what is told before the model is loaded."""
    given = {"max_train_steps": 4, "optimizer_args": ["weight_decay=0.1"], "branch": str(state)} | values
    before = Recorder()
    asked = options(folder, **given)
    check_output(asked)
    settle(asked, "full", before.report)
    trainer, recorder = train(folder, **given)
    recorder.events = before.events + recorder.events
    return trainer, recorder, before.said


def groups(trainer):
    return trainer.learner.optimizer.param_groups


def test_changed_options_take_effect_and_are_listed(tmp_path: Path, state: Path) -> None:
    new = {"learning_rate": 5e-4, "optimizer_args": ["weight_decay=0.5", "betas=0.8,0.9"], "save_state": True}
    trainer, recorder, said = branch(tmp_path, state, **new)
    assert [group["weight_decay"] for group in groups(trainer)] == [0.5]
    assert [group["betas"] for group in groups(trainer)] == [(0.8, 0.9)]
    assert [event.values["lr"] for event in recorder.of("metric")] == [5e-4, 5e-4]
    # Its memory is the state's: four steps, and not two.
    assert {int(one["step"]) for one in trainer.learner.optimizer.state.values()} == {4}

    changed = {"learning_rate": [1e-3, 5e-4], "optimizer_args": [["weight_decay=0.1"], new["optimizer_args"]]}
    assert "with 2 changed options" in said and "learning_rate 0.001 -> 0.0005" in said
    (told,) = recorder.of("branched")
    assert told == events.Branched(state=str(state), step=2, changes=changed)
    listed = [{"step": 2, "changes": changed}]
    out = tmp_path / "out"
    assert facts_of(out / "X-state").branches == listed
    with safe_open(out / "X.safetensors", "pt") as model:
        assert json.loads(model.metadata()["ss_branches"]) == listed

    again = {"optimizer_args": new["optimizer_args"], "learning_rate": 5e-4, "max_train_steps": 5, "clip_skip": 1}
    train(tmp_path, branch=str(out / "X-state"), **again, save_state=True)
    second = {"step": 4, "changes": {"clip_skip": [None, 1]}}
    assert facts_of(out / "X-state").branches == [*listed, second]


def test_a_branch_without_changes_is_the_training_that_goes_on(tmp_path: Path, state: Path) -> None:
    given = {"max_train_steps": 4, "optimizer_args": ["weight_decay=0.1"]}
    _, resumed = train(tmp_path, **given, resume=str(state))
    _, branched, said = branch(tmp_path, state)
    assert branched.losses == resumed.losses and "with 0 changed options" in said


def test_another_optimizer_begins_without_a_memory(tmp_path: Path, state: Path) -> None:
    trainer, recorder, _ = branch(tmp_path, state, optimizer_type="Lion")
    assert "The optimizer is Lion now, not AdamW: it begins without a memory." in recorder.said
    assert [event.step for event in recorder.of("metric")] == [3, 4]
    trainer, recorder, _ = branch(tmp_path, state, optimizer_args=["weight_decay=0.1", "amsgrad=True"])
    assert "With the new amsgrad the optimizer remembers other things: it begins without a memory." in recorder.said
    assert all("max_exp_avg_sq" in one and int(one["step"]) == 2 for one in trainer.learner.optimizer.state.values())


def test_a_scheduler_is_where_it_would_be_with_the_new_options(tmp_path: Path, state: Path) -> None:
    steps = {"lr_scheduler_type": "StepLR", "lr_scheduler_args": ["step_size=1", "gamma=0.5"]}
    _, recorder, _ = branch(tmp_path, state, **steps, learning_rate=8e-4)
    assert [event.values["lr"] for event in recorder.of("metric")] == pytest.approx([2e-4, 1e-4])


def test_what_no_branch_can_be(tmp_path: Path, state: Path) -> None:
    with pytest.raises(BadOption, match="--branch and --resume are two ways to go on"):
        check_output(options(tmp_path, branch=str(state), resume=str(state)))
    with pytest.raises(BadOption, match="--branch nowhere: there is no such folder") as caught:
        check_output(options(tmp_path, branch="nowhere"))
    assert caught.value.option == "branch"
    with pytest.raises(BadOption, match="--branch latest: there is no such folder"):
        check_output(options(tmp_path, branch="latest"))
    with pytest.raises(BadOption, match="--branch .* has no text_encoder.safetensors: that part was not trained"):
        train(tmp_path, branch=str(state), text=True)
    with pytest.raises(BadOption, match="The state stands at step 2, and training ends at 1"):
        branch(tmp_path, state, max_train_steps=1)
    train(tmp_path, text=True, save_state=True, output_name="T")
    with pytest.raises(BadOption, match="it has text_encoder.safetensors too, and what was learnt in that part"):
        train(tmp_path, branch=str(tmp_path / "out" / "T-state"), max_train_steps=9)


def test_secrets_are_in_no_state(tmp_path: Path, state: Path) -> None:
    from sd_scripts.library.train.shaping import shaping

    values = shaping(options(tmp_path, huggingface_token="hf_secret", wandb_api_key="key_secret"), seed=1)
    assert "secret" not in json.dumps(values) and values["pretrained_model_name_or_path"] == "base.safetensors"
    assert str(tmp_path) not in json.dumps(values) and values["seed"] == 1


def test_a_dataset_file_is_known_by_what_shapes_the_training(tmp_path: Path) -> None:
    from sd_scripts.library.train.shaping import shaping

    file = tmp_path / "data.toml"

    def known(text: str) -> str:
        file.write_text(text)
        return shaping(options(tmp_path, dataset_config=str(file)), seed=1)["dataset_config"]

    subset = '[[datasets]]\nbatch_size = 2\n[[datasets.subsets]]\nimage_dir = "pics"\n'
    plain = known(subset)
    assert known(f"# the same\n[general]\ncache_latents = true\n{subset}") == known(f"[general]\n{subset}")
    assert known(subset.replace("batch_size", "verify_cache = true\nbatch_size")) == plain
    assert known(subset.replace("= 2", "= 3")) != plain
    assert known(subset + "flip_aug = true\n") != plain
    assert known("broken = ") != known("broken == ")


def test_epochs_of_another_length_are_counted_on_from_the_state(tmp_path: Path) -> None:
    """Two epochs of two steps, then epochs of four: the third one begins with step 5."""
    train(tmp_path, max_train_steps=4, save_state=True, gradient_accumulation_steps=2)
    state = tmp_path / "out" / "X-state"
    trainer, recorder, _ = branch(tmp_path, state, max_train_steps=9, optimizer_args=None)
    assert trainer.course.epochs == 4 and trainer.place.epoch == 3
    assert "Done: 9 steps, 4 epochs." in recorder.said
    trainer, recorder, _ = branch(tmp_path, state, max_train_epochs=3, optimizer_args=None)
    assert trainer.course.epochs == 3 and "Done: 8 steps, 3 epochs." in recorder.said
