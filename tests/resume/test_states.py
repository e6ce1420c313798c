"""States on the disk: sealed, verified, the newest whole one found, the only whole one kept."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file

from sd_scripts.library.errors import BadOption, NothingToDo
from sd_scripts.library.io.headers import safetensors_header
from sd_scripts.library.program import _run
from sd_scripts.library.train.going_on import check_named, check_whole, settle
from sd_scripts.library.train.state_facts import facts_of, read_facts
from sd_scripts.library.train.state_files import SUMS, damage
from tests.train.tiny import Recorder, make_trainer, options, tiny_data, train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with states of steps 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("made")
    train(folder, save_state=True, save_every_n_steps=1)
    return folder / "out"


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "out")
    return tmp_path / "out"


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def settled(out: Path, **values: object) -> tuple[str | None, str]:
    """The state that --resume latest comes to, and what was said."""
    recorder = Recorder()
    given = options(out.parent, resume="latest", max_train_steps=9, **values)
    settle(given, "full", recorder.report)
    return given.state.resume, recorder.said


def test_every_flipped_bit_cut_and_missing_file_is_found(out: Path) -> None:
    state = out / "X-state"
    assert damage(state) is None
    files = sorted(file for file in state.rglob("*") if file.is_file())
    assert {"state.json", "sums.json", "optimizer.pt", "unet.safetensors"} <= {file.name for file in files}
    for file in files:
        data = file.read_bytes()
        for at in (0, len(data) // 2, len(data) - 1):
            flip(file, at)
            assert damage(state), (file.name, at)
            file.write_bytes(data)
        for length in (0, len(data) // 2, len(data) - 1):
            file.write_bytes(data[:length])
            assert damage(state, quick=True), (file.name, length)
        file.unlink()
        assert damage(state, quick=True), file.name
        file.write_bytes(data)
    assert damage(state) is None


def test_a_damaged_state_is_refused_with_the_newest_whole_one_beside_it(out: Path) -> None:
    flip(out / "X-state" / "unet.safetensors", 5000)
    flip(out / "X-step00000003-state" / "optimizer.pt", 5000)
    with pytest.raises(BadOption) as caught:
        check_whole("resume", out / "X-state")
    instead = out / "X-step00000002-state"
    assert caught.value.option == "resume"
    assert "unet.safetensors is damaged: its checksum is not that with which it was written" in str(caught.value)
    assert str(caught.value).endswith(f"The newest whole state beside it is {instead}.")
    for state in out.glob("*-state"):
        (state / SUMS).unlink()
    with pytest.raises(BadOption, match="not written whole. There is no whole state beside it."):
        check_whole("branch", out / "X-state")


def test_latest_is_the_newest_whole_state_of_this_output(out: Path) -> None:
    assert settled(out)[0] == str(out / "X-state")
    flip(out / "X-state" / "state.json", 30)
    (out / "X-step00000003-state" / "optimizer.pt").unlink()
    shutil.copytree(out / "X-step00000001-state", out / "Y-step00000009-state")
    found, said = settled(out)
    assert found == str(out / "X-step00000002-state")
    assert f"The state {out / 'X-step00000003-state'} is left out: it has no optimizer.pt." in said
    assert f"The state {out / 'X-state'} is left out: " in said


def test_latest_begins_where_there_is_none_and_counts_time_not_steps(out: Path) -> None:
    found, said = settled(out, output_name="Z")
    assert found is None and "There is no state of Z in" in said and "begins at its first step" in said
    assert settled(out, output_dir=str(out.parent / "none"))[0] is None
    newer = json.loads((out / "X-step00000001-state" / "state.json").read_text())
    shutil.copytree(out / "X-step00000001-state", out / "N-step00000001-state")
    assert facts_of(out / "N-step00000001-state").saved_at == newer["saved_at"] < facts_of(out / "X-state").saved_at


def test_latest_is_looked_for_in_the_fallback_folder_too(out: Path) -> None:
    fallback = out.parent / "fallback"
    shutil.copytree(out, fallback)
    shutil.rmtree(out / "X-state")
    assert settled(out, fallback_dir=str(fallback))[0] == str(fallback / "X-state")
    assert settled(out, fallback_dir=str(out.parent / "none"))[0] == str(out / "X-step00000003-state")
    said = settled(out, output_name="Z", fallback_dir=str(fallback))[1]
    assert f"There is no state of Z in {out} or {fallback} to resume" in said


def test_a_state_without_its_facts_is_refused_with_the_newest_whole_one_beside_it(out: Path) -> None:
    (out / "X-state" / "state.json").unlink()
    with pytest.raises(BadOption, match="it has no state.json.*newest whole state beside it is .*X-step00000003-state"):
        check_named(options(out.parent, resume=str(out / "X-state")).state)


def test_what_resumes_has_the_options_of_its_state(out: Path) -> None:
    changed = {"learning_rate": 3e-4, "optimizer_args": ["weight_decay=0.5"], "seed": 4}
    with pytest.raises(BadOption) as caught:
        settled(out, **changed)
    sentence = str(caught.value)
    assert caught.value.option == "resume"
    assert "--learning_rate 0.001 -> 0.0003" in sentence
    assert "--optimizer_args none -> weight_decay=0.5" in sentence
    assert "--seed 1 -> 4" in sentence
    assert f"Set that back, or go on with --branch {out / 'X-state'}" in sentence
    free = {"max_train_epochs": 9, "save_every_n_steps": 2, "max_data_loader_n_workers": 2, "cache_latents": True}
    settled(out, **free, save_precision="fp16", optimizer_type="adamw", sample_at_first=True, seed=None)


def test_an_older_state_is_read_and_said_to_know_no_options(out: Path) -> None:
    state = out / "X-step00000002-state"
    values = json.loads((state / "state.json").read_text())
    later = ("options", "branches", "total_steps", "pictures", "saved_at")
    (state / "state.json").write_text(
        json.dumps({name: one for name, one in values.items() if name not in later} | {"version": 1})
    )
    (state / SUMS).unlink()
    (state / "losses.json").unlink()
    assert damage(state) is None and read_facts(str(state)).options is None
    recorder = Recorder()
    settle(options(out.parent, resume=str(state), learning_rate=0.5), "full", recorder.report)
    assert "of an earlier version, which kept no options: they are not compared" in recorder.said
    _, resumed = train(out.parent, resume=str(state))
    assert [event.step for event in resumed.of("metric")] == [3]


def test_the_only_whole_state_is_never_removed(out: Path) -> None:
    for name in ("X-state", "X-step00000003-state", "X-step00000002-state"):
        shutil.rmtree(out / name)
    only = out / "X-step00000001-state"
    # Models alone are saved from now on, and of these one is kept.
    given = {"save_every_n_steps": 1, "save_last_n_steps": 1, "max_train_steps": 4}
    train(out.parent, resume=str(only), **given)
    assert only.is_dir() and not (out / "X-step00000002.safetensors").exists()
    train(out.parent, resume=str(only), save_state=True, **given)
    assert not only.exists() and damage(out / "X-step00000004-state") is None


def test_another_length_says_what_becomes_of_the_schedule(out: Path) -> None:
    cosine = {"lr_scheduler": "cosine", "max_train_steps": 4}
    train(out.parent, **cosine, save_state=True, save_every_n_steps=2, output_name="C")
    state = str(out / "C-step00000002-state")
    _, longer = train(out.parent, **cosine | {"max_train_steps": 8}, resume=state)
    assert "Training ends at step 8 now, not at 4" in longer.said
    assert "goes on at 0.854 times its full height, not at 0.5" in longer.said
    _, same = train(out.parent, **cosine, resume=state)
    assert "Training ends at step" not in same.said


def test_other_pictures_are_refused_and_branched_from(out: Path) -> None:
    state = str(out / "X-step00000002-state")
    with pytest.raises(BadOption, match="pictures, texts or sizes are not what they were.*by --branch"):
        make_trainer(out.parent, data=tiny_data(3), resume=state)
    make_trainer(out.parent, data=tiny_data(3), branch=state)


def test_generators_that_all_share_are_set_in_each_step() -> None:
    import random

    import numpy as np

    from sd_scripts.library.seeds import sow

    def drawn(seed: int) -> tuple[float, float, float]:
        sow(seed)
        return float(torch.rand(())), float(np.random.random()), random.random()

    first = drawn(2**62)
    assert drawn(5) != first and drawn(2**62) == first


def test_what_ended_between_its_last_state_and_its_model_writes_the_model(out: Path) -> None:
    model = out / "X.safetensors"
    whole = model.read_bytes()
    state = out / "X-state"
    with pytest.raises(BadOption, match="stands at step 3, and training ends at 3"):
        train(out.parent, resume=str(state))
    model.unlink()
    train(out.parent, resume=str(state))
    assert load_file(model).keys() == load(whole).keys()
    assert all(torch.equal(load_file(model)[name], tensor) for name, tensor in load(whole).items())


def test_latest_given_again_after_the_end_has_nothing_left_to_do(out: Path) -> None:
    recorder = Recorder()
    given = options(out.parent, resume="latest", max_train_steps=3)
    assert _run(lambda: settle(given, "full", recorder.report), recorder.report) == 0
    assert "Training has ended at step 3, and nothing is left to do." in recorder.said
    with pytest.raises(NothingToDo):
        settle(options(out.parent, resume="latest", max_train_steps=3), "full", recorder.report)
    with pytest.raises(BadOption, match="its options are not those of now"):
        settle(options(out.parent, resume="latest", max_train_steps=3, clip_skip=2), "full", recorder.report)


@pytest.mark.parametrize("there", ["nothing", "zeros", "an earlier training's"])
def test_latest_writes_the_model_of_the_end_where_another_or_none_is_there(out: Path, there: str) -> None:
    model = out / "X.safetensors"
    whole = load_file(model)
    model.unlink()
    if there == "zeros":
        model.write_bytes(bytes(1000))
    elif there != "nothing":
        shutil.copy(out / "X-step00000002.safetensors", model)
    given = options(out.parent, resume="latest", max_train_steps=3)
    settle(given, "full", Recorder().report)
    train(out.parent, resume=given.state.resume)
    assert safetensors_header(model)[1]["ss_steps"] == "3"
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_file(model).items())
