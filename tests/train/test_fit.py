"""The fastest settings that fit: which ways there are, how they are searched, and real steps of a tiny model."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import get_args

import psutil
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from sd_scripts.library import systems
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable, StoppedAsAsked
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.report import Report
from sd_scripts.library.train import fitting, trials
from sd_scripts.library.train.checks.machine import check_formats
from sd_scripts.library.train.fit import Trial, changed, fastest, last_resorts, search, ways
from sd_scripts.library.train.trial import TRAININGS, try_steps
from sd_scripts.options.cli import parse
from sd_scripts.options.fit import FitOptions, Training
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_network import TrainNetworkOptions
from tests.train.tiny import options

TOOLS = Path(__file__).parents[2] / "sd_scripts" / "tools"


def anything(_options):
    """No check refuses."""


def test_a_steps_pictures_stay_as_many(tmp_path):
    given = options(tmp_path, train_batch_size=6, gradient_accumulation_steps=2, mixed_precision="bf16")
    found = ways(given, ["precision"], anything)
    sizes = [way.get("train_batch_size", 6) for way in found if not way.get("gradient_checkpointing")]
    assert sizes == [12, 6, 4, 3, 2, 1]
    for way in found:
        assert way.get("train_batch_size", 6) * way.get("gradient_accumulation_steps", 2) == 12
        assert way["cache_latents"] and "mixed_precision" not in way and "fused_backward_pass" not in way


def test_what_would_change_what_is_learnt_is_asked_for_first(tmp_path):
    given = options(tmp_path, train_batch_size=1, shuffle_caption=True)
    assert {way.get("mixed_precision") for way in ways(given, ["precision"], anything)} == {"bf16", None}
    free = ways(given, ["clipping", "optimizer"], anything)
    assert {way.get("optimizer_type") for way in free} == {None, "AdamW8bit"}
    assert any(way.get("fused_backward_pass") for way in free)
    # Captions that change cannot be encoded beforehand.
    assert not any("cache_text_encoder_outputs" in way for way in free)
    # Without clipping it learns the same.
    assert any(way.get("fused_backward_pass") for way in ways(options(tmp_path, max_grad_norm=0), [], anything))


@pytest.mark.parametrize(("levels", "few"), [(None, [1, 2]), (2, [1, 2]), (3, [1, 2, 3])])
def test_recomputation_is_left_out_or_in_a_few_levels_or_in_all(tmp_path, levels, few):
    given = options(
        tmp_path, train_batch_size=1, gradient_checkpointing=levels is not None, gradient_checkpointing_levels=levels
    )
    # As the training checks it: no levels without recomputation.
    found = [changed(given, way).precision for way in ways(given, [], lambda one: check_formats(one.precision))]
    asked = [(one.gradient_checkpointing, one.gradient_checkpointing_levels) for one in found]
    assert asked == [(False, None), *((True, one) for one in few), (True, None)]
    least = last_resorts(given, lambda one: check_formats(one.precision))
    assert {changed(given, way).precision.gradient_checkpointing_levels for way in least} == {None}


def test_what_waits_in_ram_goes_with_recomputation(tmp_path):
    (tmp_path / "1_a").mkdir()
    given = from_values(
        TrainNetworkOptions,
        {"train_data_dir": str(tmp_path), "gradient_checkpointing": True, "cpu_offload_checkpointing": True},
    )
    found = [changed(given, way) for way in ways(given, [], anything)]
    offloads = {(one.precision.gradient_checkpointing, one.base.cpu_offload_checkpointing) for one in found}
    assert offloads == {(False, False), (True, True)}


def test_what_only_recomputes_more_than_one_that_fits_is_left_out(tmp_path):
    given = options(tmp_path, train_batch_size=4)
    needs = {None: {4: 20.0, 2: 13.0, 1: 7.0}, 1: {4: 11.5, 2: 8.0, 1: 6.0}, 2: {4: 9.0, 2: 7.0, 1: 5.0}}
    least, tried = {4: 8.0, 2: 6.0, 1: 4.5}, []

    def of(way):
        precision = changed(given, way).precision
        return precision.gradient_checkpointing, precision.gradient_checkpointing_levels, way.get("train_batch_size", 4)

    def expect(way):
        recomputes, levels, size = of(way)
        return needs[levels][size] if levels or not recomputes else least[size]

    def attempt(way):
        tried.append(of(way))
        return Trial(way, None, step_s=1.0, peak_bytes=expect(way), fits=expect(way) <= 10)

    list(search(ways(given, [], anything), 10.0, 12, expect, attempt))
    # What recomputes more than one of these with the same batch would only be slower; 13 GB are far beyond the limit.
    assert tried == [(False, None, 1), (True, 1, 2), (True, 2, 4), (True, 1, 4)]
    tried.clear()
    # What is not known of the model: all levels are tried before a few.
    list(search(ways(given, [], anything), 10.0, 12, lambda way: None, attempt))
    assert tried == [(False, None, 4), (False, None, 2), (False, None, 1), (True, None, 4), (True, None, 2),
                     (True, 1, 4), (True, 1, 2), (True, 2, 4)]  # fmt: skip


def test_what_the_checks_refuse_is_no_way(tmp_path):
    def refuses(given):
        if given.precision.gradient_checkpointing:
            raise BadOption("gradient_checkpointing", "no")

    found = ways(options(tmp_path), [], refuses)
    assert found and not any(way.get("gradient_checkpointing") for way in found)
    given = from_values(
        TrainNetworkOptions, {"train_batch_size": 2, "resolution": "64", "train_data_dir": str(tmp_path)}
    )
    (tmp_path / "1_a").mkdir()
    least = last_resorts(given, anything)
    assert [set(way) for way in least][0] >= {"mem_eff_attn", "gradient_checkpointing", "train_batch_size"}
    assert least[-1]["cpu_offload_checkpointing"]


def test_what_needs_more_than_one_that_did_not_fit_is_left_out():
    needs = {"a": 9.0, "b": 5.0, "c": 4.0, "d": 3.0, "e": 6.0}
    tried = []

    def attempt(way):
        tried.append(way["way"])
        return Trial(way, None, step_s=needs[way["way"]], peak_bytes=1.0, fits=needs[way["way"]] < 5)

    candidates = [{"way": name} for name in needs]
    trials = list(search(candidates, 5.0, 3, lambda way: needs[way["way"]], attempt))
    # a and e are far beyond the limit; of the others no more than three are tried.
    assert tried == ["b", "c", "d"] and [trial.values["way"] for trial in trials if trial.skipped] == ["a", "e"]
    assert fastest(trials).values == {"way": "d"}
    assert fastest([trial for trial in trials if not trial.fits]) is None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    make_sd1(folder / "tiny.safetensors")
    (folder / "pictures").mkdir()
    for number in range(3):
        Image.effect_noise((64, 64), 50).convert("RGB").save(folder / "pictures" / f"{number}.png")
    entries = {str(file): {"caption": "noise"} for file in (folder / "pictures").iterdir()}
    (folder / "meta.json").write_text(json.dumps(entries))
    return folder


def words_of(place, batch=4, **more):
    training = more | {
        "pretrained_model_name_or_path": place / "tiny.safetensors", "in_json": place / "meta.json",
        "train_data_dir": place / "pictures", "resolution": "64,64", "output_dir": place / "out",
        "train_batch_size": batch, "max_data_loader_n_workers": 0, "save_every_n_steps": 1,
    }  # fmt: skip
    return [f"--{flag}={value}" for flag, value in training.items()]


def fit(place, *words, batch=4, **environment):
    training = words_of(place, batch, console_log_file=place / "log.txt")
    argv = [sys.executable, TOOLS / "fit_memory.py", "--steps", "1", *words, "--", *training]
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | environment
    return subprocess.run(list(map(str, argv)), cwd=place, env=env, capture_output=True, text=True, timeout=300)


def test_real_steps_are_tried_and_the_fastest_that_fits_is_written(place):
    before = sorted(place.rglob("*"))
    told = place.parent / "events.jsonl"
    done = fit(place, "--most", "2", "--output", place.parent / "found", SD_SCRIPTS_EVENTS=str(told))
    assert done.returncode == 0, done.stderr
    assert "The fastest that fits: --" in done.stderr and " s a step, " in done.stderr
    written = (place.parent / "found.toml").read_text()
    assert "cache_latents = true" in written and 'in_json = "' in written
    summary = [json.loads(line) for line in told.read_text().splitlines()][-1]
    outcomes = [row["outcome"] for row in summary["tables"]["tried"]]
    assert outcomes.count("fits") == 2 and set(outcomes) == {"fits", "not tried"}
    assert {row["option"] for row in summary["tables"]["chosen"]} >= {"cache_latents"}
    # No model, no cache, no log is left behind.
    assert sorted(place.rglob("*")) == before


def test_nothing_fits_into_less_than_the_program_itself(place):
    done = fit(place, "--memory_gb", "0.1", "--most", "1", batch=1)
    assert done.returncode == 1
    assert "It may take 0.1 GB of memory." in done.stderr and "too much memory (ended at 0." in done.stderr
    assert "Nothing that was tried fits into 0.1 GB. Each was ended at the limit; the least that is" in done.stderr
    assert re.search(r"is expected is 0\.\d GB\. Use a smaller --resolution", done.stderr)


def test_what_the_training_refuses_is_said_before_anything_is_tried(place):
    done = fit(place, batch=0)
    assert done.returncode == 2 and "--train_batch_size" in done.stderr and "tried" not in done.stdout


def test_what_goes_back_to_its_default_is_named_with_its_value(tmp_path):
    given = options(tmp_path, train_batch_size=2, gradient_checkpointing=True)
    (way,) = [
        way for way in ways(given, [], anything)
        if way.get("gradient_accumulation_steps") == 2 and way.get("gradient_checkpointing") is False
    ]  # fmt: skip
    words = fitting._words(way, given)
    assert "--train_batch_size 1 " in words and "--gradient_accumulation_steps 2" in words
    assert words.endswith("no --gradient_checkpointing")
    assert fitting._words({}, given) == "as it is"


def test_a_folder_is_no_file_to_write(tmp_path):
    asked = parse(FitOptions, [f"--output={tmp_path}"], "fit_memory.py").search
    with pytest.raises(BadOption, match=r"is a folder\. Name a file in it"):
        fitting.fit(asked, [], Report())
    assert not tmp_path.with_suffix(".toml").exists()


# Plays tools/try_steps.py, whose command line is `words`.
PLAYED = """
import json, sys, time
from pathlib import Path
words = sys.argv[1:]
def tell(**told):
    Path(words[words.index("--result") + 1]).write_text(json.dumps(told))
def measured(peak_bytes=1e9):
    tell(fits=True, step_s=1.0, peak_bytes=peak_bytes)
def fail(sentence):
    sys.exit("Error: " + sentence)
if "--" not in words:
    tell(device=DEVICE, name="CPU", memory_bytes=8e9)
    sys.exit()
"""


@pytest.fixture
def play(place, tmp_path, monkeypatch):
    """Tries the training by a program of a few lines; gives what was said."""

    def start(program, *asked, report=None, device="cpu", **more):
        played, said = tmp_path / "played.py", io.StringIO()
        played.write_text(f"DEVICE = {device!r}\n{PLAYED}{program}")
        monkeypatch.setattr(trials, "PROGRAM", played)
        wanted = parse(FitOptions, ["--most=4", *map(str, asked)], "fit_memory.py").search
        fitting.fit(wanted, words_of(place, batch=1, **more), report or Report(out=said))
        return said.getvalue()

    return start


def test_levels_go_from_the_file_where_nothing_is_recomputed(play, tmp_path):
    config, heard, found = tmp_path / "config.toml", tmp_path / "heard", tmp_path / "found.toml"
    config.write_text("gradient_checkpointing = true\ngradient_checkpointing_levels = 2")
    program = f"with open({str(heard)!r}, 'a') as out: print(*words, file=out)\nmeasured()"
    said = play(program, "--output", found, config_file=config)
    # In bf16 and without; more that is recomputed is not tried once this fits.
    first, second = heard.read_text().splitlines()
    assert "--gradient_checkpointing" not in first + second
    assert "gradient_checkpointing" not in found.read_text()
    assert "no --gradient_checkpointing no --gradient_checkpointing_levels" in said


def test_trials_may_reach_and_load_what_the_run_may_and_tell_nothing_for_it(play, tmp_path, monkeypatch):
    monkeypatch.setenv("SD_SCRIPTS_ROOTS", "the roots")
    monkeypatch.setenv("SD_SCRIPTS_INSTALLED_ONLY", "1")
    monkeypatch.setenv("SD_SCRIPTS_EVENTS", str(tmp_path / "events"))
    names = "sorted(name for name in os.environ if name.startswith('SD_SCRIPTS_'))"
    play(f"import os\nPath({str(tmp_path / 'seen')!r}).write_text(' '.join({names}))\nmeasured()")
    assert (tmp_path / "seen").read_text() == "SD_SCRIPTS_INSTALLED_ONLY SD_SCRIPTS_ROOTS"


def test_what_was_measured_is_kept_where_another_trial_fails(play):
    said = play('fail("no such kernel") if "--mixed_precision" in words else measured()')
    assert "The fastest that fits: --cache_text_encoder_outputs --cache_latents (1.00 s a step, 1.0 GB)." in said
    # In bf16, with nothing recomputed, one level and two; what those have in common is not tried again.
    assert said.count(": failed: no such kernel") == said.count("  left out: --cache") == 3


def test_where_all_trials_fail_the_training_cannot_be_tried(play, tmp_path):
    # Opened to append, so that each trial leaves its line.
    program = f"with open({str(tmp_path / 'tried')!r}, 'a') as out: print(file=out)"
    with pytest.raises(BadOption, match="The training cannot be tried: no such kernel"):
        play(f'{program}\nfail("no such kernel")', "--most=8")
    # Three in bf16 and one without: what those have in common all ways have.
    assert len((tmp_path / "tried").read_text().splitlines()) == 4


def test_what_was_measured_to_be_too_much_is_said_as_it_is(play):
    with pytest.raises(NothingUsable, match="The least that was seen is 3.0 GB."):
        play("measured(3e9)", "--memory_gb=2")


@pytest.mark.parametrize("found", [False, True])
def test_a_stop_ends_the_trial_at_hand(play, tmp_path, found):
    begun, said = tmp_path / "begun", io.StringIO()
    report = Report(out=said)

    def stop():
        until_s = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < until_s:
            time.sleep(0.01)
        report.ask("stop")

    asking = threading.Thread(target=stop)
    asking.start()
    measures = 'if "--gradient_checkpointing" not in words and "--mixed_precision" in words: sys.exit(measured())'
    program = f"{measures if found else ''}\nPath({str(begun)!r}).touch(); time.sleep(600)"
    if found:
        play(program, report=report)
        assert "The fastest that fits of those tried before the stop: --cache" in said.getvalue()
    else:
        with pytest.raises(StoppedAsAsked, match="nothing that fits was found so far"):
            play(program, report=report)
    asking.join()


def test_what_cannot_be_used_is_refused_before_anything_is_tried(play, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadFile, match="Cannot write .*found.toml"):
        play("measured()", "--output", tmp_path / "file" / "found")
    for memory_gb in (0, -1):
        with pytest.raises(BadOption, match="Must be 0.1 or more") as refused:
            play("measured()", f"--memory_gb={memory_gb}")
        assert refused.value.option == "memory_gb"


def test_the_file_for_what_is_said_is_not_opened_for_each_way(play, tmp_path):
    handlers, log = list(logging.root.handlers), tmp_path / "log.txt"
    play("measured()", console_log_file=log)
    assert logging.root.handlers == handlers and not log.exists()


def test_a_trial_that_says_nothing_has_failed_all_the_same(play):
    said = play("sys.exit(measured() if '--mixed_precision' in words else 139)")
    assert said.count(": failed: it ended with code 139") == said.count(": it ended with code 139") - 3 == 3


def test_a_way_that_runs_out_of_memory_does_not_fit_however_the_training_would_go_on(place, monkeypatch):
    from diffusers import UNet2DConditionModel

    whole = UNet2DConditionModel.forward

    def small(self, sample, *args, **more):
        if len(sample) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(self, sample, *args, **more)

    monkeypatch.setattr(UNet2DConditionModel, "forward", small)
    # The states to go back to are not saved in a trial either.
    answers = {"on_oom": "retry", "on_nonfinite": "rollback"}
    tried = {}
    for batch in (4, 2):
        words = [*words_of(place, batch, **answers), "--save_state"]
        tried[batch] = try_steps("fine_tune.py", parse(SCRIPTS["fine_tune.py"], words, "fine_tune.py"), 1)
        AcceleratorState._reset_state(True)
    assert not tried[4].fits and tried[2].fits


def test_secrets_are_on_no_command_line(play, tmp_path):
    config, heard = tmp_path / "config.toml", tmp_path / "heard"
    config.write_text('huggingface_repo_id = "me/mine"\nhuggingface_token = "hf_SECRET"\nwandb_api_key = "w_SECRET"')
    play(f"Path({str(heard)!r}).write_text(' '.join(words)); measured()", config_file=config)
    assert "--huggingface_repo_id me/mine" in heard.read_text() and "SECRET" not in heard.read_text()


def test_what_is_seen_of_ram_is_no_figure_of_a_gpu(play):
    # As the system ends what it has no memory for.
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    said = io.StringIO()
    with pytest.raises(NothingUsable, match="Nothing that was tried fits into the memory. Each was ended at the limit"):
        play(killed, report=Report(out=said), device="cuda")
    assert ": memory ran out\n" in said.getvalue() and "ended at" not in said.getvalue()


@pytest.fixture
def child(monkeypatch, tmp_path):
    """A process of a few lines, with another that it starts; both hold its words, and hear no request to end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    played, begun = tmp_path / "played.py", tmp_path / "begun"
    deaf = "import os, signal, time; [signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM)]"
    reader = f"{deaf}; open({str(begun)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    played.write_text(f"import subprocess, sys\n{deaf}\nsubprocess.run([sys.executable, '-c', {reader!r}])")
    monkeypatch.setattr(trials, "PROGRAM", played)
    return begun


def test_a_trial_ends_with_all_that_it_started(child, monkeypatch):
    ended = psutil.Popen([sys.executable, "-c", ""])
    ended.wait()
    found = psutil.Process.children
    # A reader that ends while the others are ended.
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive=False: [ended, *found(self, recursive)])
    own = trials._Child([])
    assert own.result(stopped=lambda: child.exists() and bool(child.read_text())) is None
    assert systems.identify(int(child.read_text())) is None


def test_a_file_that_cannot_be_removed_yet_is_no_trouble(play, monkeypatch):
    """As on Windows, while a process still holds it."""
    unlink = os.unlink

    def held(path, **more):
        if Path(path).name == "words.txt":
            raise PermissionError(13, "held", path)
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", held)
    assert "The fastest that fits" in play("measured()")


def test_every_training_that_can_be_fitted_can_be_tried():
    assert set(get_args(Training)) == set(TRAININGS)
