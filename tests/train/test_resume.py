"""States: training that goes on is the training that was never interrupted."""

import json
import shutil

import pytest
import torch

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.going_on import check_asked
from sd_scripts.library.train.state_facts import read_facts
from tests.train.tiny import make_trainer, options, tiny_data, tiny_family, train, weights

# diffusers' Euler schedulers hand torch tensors to numpy in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FIVE = {"train_batch_size": 2, "lr_scheduler": "cosine", "noise_offset": 0.05, "max_train_steps": 6}


# tests/train/test_every_optimizer.py goes on with each, over a few weights.
KINDS = ["AdaFactor", "AdamW8bit", "Prodigy", "came"]


@pytest.mark.parametrize(("optimizer", "stop_at"), [("AdamW", 3), ("AdamW", 4), *((name, 4) for name in KINDS)])
def test_a_resumed_run_equals_the_whole_one(tmp_path, optimizer, stop_at):
    values = FIVE | {"optimizer_type": optimizer, "save_state": True, "save_every_n_steps": stop_at}
    whole, recorder = train(tmp_path, data=tiny_data(5), text=True, **values)
    state = tmp_path / "out" / f"X-step0000000{stop_at}-state"
    # Another base model of the same shape: what counts is in the state.
    family = tiny_family(seed=1)
    resumed, again = train(tmp_path, family, tiny_data(5), text=True, **values, resume=str(state))
    assert again.losses == recorder.losses[stop_at:]
    assert [event.step for event in again.of("metric")] == list(range(stop_at + 1, 7))
    assert [event.epoch for event in again.of("metric")] == [event.epoch for event in recorder.of("metric")][stop_at:]
    for part in ("unet", "text_encoder"):
        ends = weights(getattr(whole.family, part))
        assert all(torch.equal(ends[name], t) for name, t in weights(getattr(family, part)).items())


def test_sampling_and_saving_in_between_change_nothing(tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat --w 64 --h 64 --s 2 --ss euler_a\n")
    _, plain = train(tmp_path)
    sampling = {"sample_prompts": str(prompts), "sample_every_n_steps": 1, "sample_at_first": True}
    _, busy = train(tmp_path, **sampling, save_every_n_steps=1, save_state=True)
    assert busy.losses == plain.losses


@pytest.fixture
def state(tmp_path):
    train(tmp_path, save_state=True)
    return tmp_path / "out" / "X-state"


def refused(tmp_path, state, match, **values):
    with pytest.raises(BadOption, match=match) as caught:
        train(tmp_path, resume=str(state), max_train_steps=5, **values)
    assert caught.value.option == "resume"


def test_incomplete_states_are_refused(tmp_path, state):
    shutil.copytree(state, tmp_path / "broken-state")
    broken = tmp_path / "broken-state"
    (broken / "optimizer.pt").write_bytes(b"PK")
    refused(tmp_path, broken, "optimizer.pt is broken")
    (broken / "optimizer.pt").unlink()
    refused(tmp_path, broken, "has no optimizer.pt")
    (broken / "unet.safetensors").write_bytes(b"12")
    refused(tmp_path, broken, "unet.safetensors is broken")
    (broken / "unet.safetensors").unlink()
    refused(tmp_path, broken, "has no unet.safetensors")
    (broken / "state.json").write_text("{}")
    refused(tmp_path, broken, "no state that this program wrote whole")


def test_states_of_other_trainings_are_refused(tmp_path, state):
    refused(tmp_path, state, "its optimizer is AdamW, and this run's is Lion", optimizer_type="Lion")
    refused(tmp_path, state, "has no text_encoder.safetensors", text=True)
    other = tiny_family()
    other.name = "sd2"
    refused(tmp_path, state, "its kind of model is sd1, and this run's is sd2", family=other)
    smaller = tiny_family()
    del smaller.unet.conv_out
    refused(tmp_path, state, "is of another model", family=smaller)
    facts = json.loads((state / "state.json").read_text())
    (state / "state.json").write_text(json.dumps(facts | {"version": 99}))
    refused(tmp_path, state, "version 99")


def test_the_options_alone_tell_that_a_state_does_not_fit(tmp_path, state):
    facts = read_facts(str(state))

    def check(method="full", **values):
        check_asked(str(state), facts, method, options(tmp_path, **values))

    check(max_train_steps=4)
    check(max_train_epochs=1, max_train_steps=1)
    with pytest.raises(BadOption, match="The state stands at step 3, and training ends at 3. Ask for more"):
        check(max_train_steps=3)
    with pytest.raises(BadOption, match="its optimizer is AdamW, and this run's is Lion"):
        check(max_train_steps=4, optimizer_type="lion")
    with pytest.raises(BadOption, match="its method is full, and this run's is networks.lora"):
        check(max_train_steps=4, method="networks.lora")
    with pytest.raises(BadOption, match="it was saved without --lr_scheduler_type StepLR. Leave that out"):
        check(max_train_steps=4, lr_scheduler_type="StepLR", lr_scheduler_args=["step_size=2"])


def test_a_state_that_does_not_fit_is_refused_before_latents_are_made(tmp_path, state):
    data = tiny_data(latents=False)
    refused(tmp_path, state, "its optimizer is AdamW", data=data, cache_latents=True, optimizer_type="Lion")
    refused(tmp_path, state, "has no text_encoder.safetensors", data=data, cache_latents=True, text=True)
    assert len(data.uncached()) == 4


def test_a_changed_plan_begins_its_epoch_anew(tmp_path, state):
    trainer, recorder = train(tmp_path, data=tiny_data(4), resume=str(state), max_train_epochs=2, train_batch_size=2)
    assert "its epoch begins anew" in recorder.said
    # Two whole epochs of two steps each, after the three steps of the state.
    assert trainer.place.epoch == 2 and trainer.place.step == 7


def test_the_states_seed_goes_on_and_a_branch_may_have_another(tmp_path, state):
    assert make_trainer(tmp_path, resume=str(state), seed=None)[0].seed == 1
    assert make_trainer(tmp_path, branch=str(state), seed=99)[0].seed == 99


def test_a_new_learning_rate_counts(tmp_path, state):
    _, recorder = train(tmp_path, resume=str(state), max_train_steps=5, learning_rate=3e-4)
    assert recorder.of("metric")[-1].values["lr"] == pytest.approx(3e-4)


def test_a_state_at_the_end_asks_for_more(tmp_path, state):
    with pytest.raises(BadOption, match="The state stands at step 3, and training ends at 3") as caught:
        train(tmp_path, resume=str(state))
    assert caught.value.option == "max_train_steps"
