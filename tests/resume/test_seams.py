"""Where states meet what else happens: going back to one that is damaged or a branch's, other folders, older states."""

import shutil
from pathlib import Path

import pytest
import torch

from sd_scripts.library.errors import LossNotFinite
from sd_scripts.library.train.going_on import settle
from tests.train.test_nonfinite import STATES, breaking
from tests.train.tiny import Recorder, make_trainer, options, train

ROLLBACK = STATES | {"on_nonfinite": "rollback"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the states of a training after steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("made")
    train(folder, **STATES)
    return folder / "out"


def test_a_branch_goes_back_to_its_state_with_its_own_arguments(tmp_path: Path, made: Path) -> None:
    given = {"branch": str(made / "X-step00000004-state"), "optimizer_args": ["weight_decay=0.5"]}
    trainer, recorder = make_trainer(tmp_path, breaking(1), **ROLLBACK | given)
    trainer.run()
    assert "What was learnt since step 4 is left out" in recorder.said
    assert trainer.learner.optimizer.param_groups[0]["weight_decay"] == 0.5


def test_a_branch_with_another_optimizer_has_nothing_to_go_back_to(tmp_path: Path, made: Path) -> None:
    state = made / "X-step00000004-state"
    trainer, _ = make_trainer(tmp_path, breaking(1), **ROLLBACK, branch=str(state), optimizer_type="SGDNesterov")
    with pytest.raises(LossNotFinite, match=f"Last good save: {state}."):
        trainer.run()


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_it_goes_back_to_the_newest_state_that_is_whole(tmp_path: Path, how: str) -> None:
    trainer, recorder = make_trainer(tmp_path, breaking(6), **ROLLBACK)
    state, after_step = tmp_path / "out" / "X-step00000004-state", trainer._after_step

    def spoil(ended: int | None) -> None:
        after_step(ended)
        trainer.outputs.settle()
        if trainer.place.step == 5 and how == "removed":
            shutil.rmtree(state)
        elif trainer.place.step == 5:
            (state / "unet.safetensors").write_bytes(b"")

    trainer._after_step = spoil  # type: ignore[method-assign]
    trainer.run()
    assert (f"The state {state} is left out: " in recorder.said) == (how == "damaged")
    assert "of X-step00000002-state. What was learnt since step 2 is left out" in recorder.said


def test_what_was_made_before_it_went_back_is_not_judged(tmp_path: Path) -> None:
    """Weights that change in the backward pass take a further step before the bad one is seen."""
    given = ROLLBACK | {"fused_backward_pass": True, "save_every_n_steps": 4, "max_train_steps": 8}
    trainer, recorder = make_trainer(tmp_path, breaking(5, 6), **given)
    trainer.run()
    assert recorder.said.count("back to the weights") == 1
    assert [event.step for event in recorder.of("metric")] == [1, 2, 3, 4, 7, 8]
    assert all(bool(torch.isfinite(weight).all()) for weight in trainer.family.unet.parameters())


def test_latest_looks_in_the_fallback_folder_too(tmp_path: Path, made: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(made / "X-step00000002-state", tmp_path / "out" / "X-step00000002-state")
    shutil.copytree(made / "X-step00000004-state", other / "X-step00000004-state")
    recorder = Recorder()
    given = options(tmp_path, resume="latest", max_train_steps=9, fallback_dir=str(other))
    settle(given, "full", recorder.report)
    assert given.state.resume == str(other / "X-step00000004-state")
    shutil.rmtree(other)
    shutil.rmtree(tmp_path / "out")
    given = options(tmp_path, resume="latest", fallback_dir=str(other))
    settle(given, "full", recorder.report)
    assert f"There is no state of X in {tmp_path / 'out'} or {other} to resume" in recorder.said


def test_the_newest_whole_state_is_never_removed_though_older_ones_stay(tmp_path: Path, made: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(made / "X-step00000002-state", out / "X-000001-state")
    shutil.copytree(made / "X-step00000004-state", out / "X-step00000004-state")
    given = {"save_every_n_steps": 1, "save_last_n_steps": 1, "max_train_steps": 7}
    train(tmp_path, resume=str(out / "X-step00000004-state"), **given)
    assert (out / "X-step00000004-state").is_dir() and not (out / "X-step00000005.safetensors").exists()
