"""Places that cannot be written while a program works: it waits, loses nothing, and goes on."""

import errno
import io
import json
import os
import resource
import shutil
import signal
import threading
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from sd_scripts.library import pausing
from sd_scripts.library.data import pictures_gone
from sd_scripts.library.data.late_writing import Work
from sd_scripts.library.data.merging import merge_texts
from sd_scripts.library.data.prefetch import Readers
from sd_scripts.library.errors import BadFile, NotWhole
from sd_scripts.library.io.atomic import write_bytes, write_text
from sd_scripts.library.io.checkpoints import write_safetensors
from sd_scripts.library.models import saving
from sd_scripts.library.pausing import Ground, NotWritten, patiently, trouble_of
from sd_scripts.library.report import Report
from sd_scripts.library.steady import SteadyFile
from sd_scripts.library.tagging.clean_metadata import clean_metadata
from sd_scripts.library.team import Team
from sd_scripts.library.train.caching import Made, cache_latents
from sd_scripts.library.train.output_place import OutputPlace
from sd_scripts.library.train.state_facts import read_facts
from sd_scripts.options.common import MergeOptions
from tests.stopping.program import TRAIN, Program
from tests.train.tiny import Recorder, make_trainer, tiny_data

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")


@pytest.fixture
def limit():
    """Sets the largest file that this process may write; a disk that is full, without a disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size_bytes is None else size_bytes, before[1]))

    yield limit
    limit(None)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Nobody waits half a minute in a test."""
    monkeypatch.setattr(pausing, "TRY_EVERY_S", 0.1)
    monkeypatch.setattr(pausing, "TRY_FULL_EVERY_S", 0.1)
    monkeypatch.setattr(pausing, "LOOK_EVERY_S", 0.02)


def when_paused(recorder, then):
    """Does something once a run waits."""

    def wait():
        while not recorder.of("paused"):
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_each_writer_tells_that_it_was_about_room(tmp_path, limit, kind):
    """Neither safetensors nor torch raises an OSError."""
    tensors = {"a": torch.zeros(100_000)}
    limit(10_000)
    with pytest.raises((BadFile, RuntimeError)) as caught:
        write_safetensors(tmp_path / "a", tensors) if kind == "safetensors" else torch.save(tensors, tmp_path / "a")
    limit(None)
    trouble = trouble_of(caught.value, tmp_path / "a")
    assert trouble is not None and trouble.kind == "full" and trouble.free_bytes > 0


def test_what_is_no_place_s_fault_stays_an_error(tmp_path):
    assert trouble_of(ValueError("no"), tmp_path) is None
    assert trouble_of(OSError(errno.ENAMETOOLONG, "long"), tmp_path) is None
    missing = tmp_path / "missing.txt"
    with pytest.raises(FileNotFoundError):
        patiently(Report(out=io.StringIO()), tmp_path / "new.txt", missing.read_bytes)


def test_training_waits_for_room_and_loses_nothing(tmp_path, limit):
    trainer, recorder = make_trainer(tmp_path, max_train_steps=3, save_every_n_steps=1, save_state=True)
    limit(100_000)
    when_paused(recorder, lambda: limit(None))
    trainer.run()
    assert [event.event for event in recorder.events].count("goes_on") == 1
    assert [(event.kind, event.step) for event in recorder.of("saved")] == [
        (kind, step) for step in (1, 2, 3, 3) for kind in ("state", "model")
    ]
    [paused] = recorder.of("paused")
    assert paused.kind == "full" and paused.elsewhere and paused.path.endswith("X-step00000001-state")
    assert "The pause has no end of its own." in recorder.said
    assert not [path for path in tmp_path.rglob(".*") if ".part" in path.name]


def test_leaving_a_pause_is_no_success(tmp_path, limit):
    trainer, recorder = make_trainer(tmp_path, max_train_steps=3, save_every_n_steps=1)
    limit(100_000)
    when_paused(recorder, lambda: recorder.report.ask("stop"))
    with pytest.raises(
        NotWritten, match=r"Left as asked: .*X-step00000001 cannot be written: File too large"
    ) as caught:
        trainer.run()
    assert caught.value.exit_code == 1 and caught.value.kind == "disk_full"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "meta_lat.json"]


@pytest.mark.parametrize("occasion", [{"save_every_n_steps": 1}, {}])
def test_a_model_that_does_not_read_back_ends_training_with_a_sentence(tmp_path, monkeypatch, occasion):
    """A disk that loses what it was given will lose it again: nobody waits for that."""

    def lose(path, *given):
        told = write_safetensors(path, *given)
        os.truncate(path, path.stat().st_size - 1)
        return told

    monkeypatch.setattr(saving, "write_safetensors", lose)
    trainer, recorder = make_trainer(tmp_path, max_train_steps=2, **occasion)
    when_paused(recorder, lambda: recorder.report.ask("stop"))
    with pytest.raises(NotWhole, match="was written, but does not read back whole") as caught:
        trainer.run()
    assert caught.value.exit_code == 1 and caught.value.kind == "file" and not recorder.of("paused")


@pytest.mark.parametrize("how", ["asked", "fallback"])
def test_it_saves_elsewhere(tmp_path, how):
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    values = {"fallback_dir": str(other)} if how == "fallback" else {}
    trainer, recorder = make_trainer(tmp_path, max_train_steps=2, save_every_n_steps=1, **values)
    # The drive is taken away; a file stands in its place.
    out.rmdir()
    out.write_text("")

    def ask():
        recorder.report.asked._requests.folder = str(other)
        recorder.report.ask("save_elsewhere")

    if how == "asked":
        when_paused(recorder, ask)
    trainer.run()
    names = ["X-step00000001.safetensors", "X-step00000002.safetensors", "X.safetensors"]
    assert sorted(path.name for path in other.iterdir()) == names
    assert out.read_text() == "" and len(recorder.of("paused")) == (how == "asked")
    assert f"From now on it is saved in {other}." in recorder.said


def test_samples_that_cannot_be_written_end_nothing_and_are_told_once(tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat --w 64 --h 64 --s 1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sample").write_text("in the way")
    values = {"sample_prompts": str(tmp_path / "prompts.txt"), "sample_every_n_steps": 1}
    trainer, recorder = make_trainer(tmp_path, max_train_steps=3, **values)
    trainer.run()
    assert recorder.said.count("A sample was not written") == 1
    assert (tmp_path / "out" / "X.safetensors").is_file()


def test_a_folder_that_is_gone_is_not_made_anew_by_a_sample(tmp_path):
    out, away = tmp_path / "out", tmp_path / "away"
    out.mkdir()
    place = OutputPlace(out)
    picture = out / "sample" / "a.png"
    place.write(picture, lambda: write_bytes(picture, b"picture"))
    out.rename(away)
    with pytest.raises(BadFile, match="its folder is gone") as caught:
        place.write(picture, lambda: write_bytes(picture, b"picture"))
    assert not out.exists() and trouble_of(caught.value, out).kind == "gone"
    away.rename(out)
    place.write(picture, lambda: write_bytes(picture, b"another"))
    assert picture.read_bytes() == b"another"


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path, limit, monkeypatch):
    from sd_scripts.library.train import board_kinds

    monkeypatch.setattr(board_kinds, "OPEN_AGAIN_S", 0.0)
    trouble = [OSError(errno.ENOSPC, "No space left on device")]

    class Log:
        def __init__(self):
            self.seen = []

        def scalars(self, values, step):
            if trouble:
                raise trouble.pop()
            self.seen.append(step)

        def flush(self):
            pass

        def close(self, failed):
            pass

    logs = []

    def opened():
        logs.append(Log())
        return logs[-1]

    out = io.StringIO()
    board = board_kinds.SteadyBoard(opened, Report(out=out))
    for step in (1, 2, 3):
        board.scalars({}, step)
    board.close(False)
    assert [log.seen for log in logs] == [[], [1, 2, 3]]
    assert out.getvalue().count("A log of figures cannot be written (No space left on device)") == 1


def test_lines_wait_for_room_and_none_is_torn(tmp_path, limit):
    path = tmp_path / "events.jsonl"
    file = SteadyFile(path)
    file.write("first")
    limit(10)
    for i in range(5):
        file.write(f"line {i}")
    assert file.trouble.errno == errno.EFBIG
    limit(None)
    file.close()
    assert path.read_text().splitlines()[0] == "first"
    # Half a line may stand there, ended; each comes whole after it.
    assert [line for line in path.read_text().splitlines() if line.startswith("line ")][-5:] == [
        f"line {i}" for i in range(5)
    ]


class Full(io.StringIO):
    """A terminal that is gone, or a log on a full disk."""

    def write(self, text):
        raise OSError(errno.EIO, "Input/output error")


def test_a_report_survives_a_closed_terminal_and_a_full_disk(limit, tmp_path):
    report = Report(tmp_path / "events.jsonl", out=Full())
    limit(0)
    report.say("hello")
    report.phase("train", total=3)
    report.progress(1)
    limit(None)
    report.close()
    assert "phase" in (tmp_path / "events.jsonl").read_text()


@pytest.mark.parametrize("then", ["comes back", "stop"])
def test_tools_wait_for_a_folder_that_is_gone(tmp_path, then):
    folder, away = tmp_path / "pictures", tmp_path / "away"
    folder.mkdir()
    report = Report(tmp_path / "events.jsonl", out=io.StringIO())
    ground_up = [0]

    def write():
        ground_up[0] += 1
        if ground_up[0] == 1:
            folder.rename(away)
            threading.Timer(
                0.3, (lambda: away.rename(folder)) if then == "comes back" else (lambda: report.ask("stop"))
            ).start()
            raise FileNotFoundError(errno.ENOENT, "gone", str(folder))
        write_text(folder / "a.txt", "a cat\n")

    if then == "stop":
        with pytest.raises(NotWritten, match="pictures cannot be written"):
            patiently(report, folder / "a.png", write)
        assert not folder.exists(), "it was not made anew"
    else:
        patiently(report, folder / "a.png", write)
        assert (folder / "a.txt").read_text() == "a cat\n"


@pytest.mark.parametrize(("then", "readers"), [("comes back", 0), ("stop", 2)])
def test_pictures_that_are_gone_are_waited_for(tmp_path, monkeypatch, then, readers):
    """Without it, training would count on through pictures that it never sees."""
    monkeypatch.setattr(pictures_gone, "LOOK_EVERY_S", 0.02)
    data = tiny_data(4, latents=False)
    folder = data.images[0].path.parent
    away = folder.with_name(folder.name + "-away")
    values = {"max_train_steps": 8, "max_data_loader_n_workers": readers}
    trainer, recorder = make_trainer(tmp_path, data=data, **values)
    advance = trainer.place.advance

    def take_away(course):
        if trainer.place.step == 2:
            folder.rename(away)
        return advance(course)

    trainer.place.advance = take_away
    after = {"comes back": lambda: away.rename(folder), "stop": lambda: recorder.report.ask("stop")}
    when_paused(recorder, after[then])
    trainer.run()
    assert recorder.of("paused")[0].kind == "pictures" and not recorder.of("item_failed")
    if then == "comes back":
        assert [event.step for event in recorder.of("metric")] == list(range(1, 9))
    else:
        [state] = (tmp_path / "out").iterdir()
        facts = read_facts(str(state))
        # Only what was learnt counts.
        assert facts.step == len(recorder.of("metric")) < 8 and recorder.of("stopped")


@pytest.mark.parametrize("then", ["comes back", "stop"])
def test_latents_wait_for_pictures_that_are_gone(tmp_path, monkeypatch, then):
    """Without it, pictures of a drive that is gone would be left out of the whole training."""
    monkeypatch.setattr(pictures_gone, "LOOK_EVERY_S", 0.02)
    data = tiny_data(4, latents=False)
    folder = data.images[0].path.parent
    away = folder.with_name(folder.name + "-away")
    trainer, recorder = make_trainer(tmp_path, data=data, max_train_steps=2, cache_latents=True)
    folder.rename(away)
    after = {"comes back": lambda: away.rename(folder), "stop": lambda: recorder.report.ask("stop")}
    when_paused(recorder, after[then])
    trainer.run()
    assert recorder.of("paused")[0].kind == "pictures" and not recorder.of("item_failed")
    assert len(recorder.of("metric")) == (2 if then == "comes back" else 0)
    assert bool(recorder.of("stopped")) == (then == "stop")


class Written:
    """Keeps, as what latents are kept in, a file beside each picture."""

    def __init__(self, images):
        self.images, self.taken = images, []

    def missing(self):
        return list(range(len(self.images)))

    def load(self, item):
        return item.image

    def begin(self, loaded):
        files = [(image, self.images[image].path.with_suffix(".npz")) for image in loaded]
        works = [Work(Made(image), partial(file.write_text, "latents"), file) for image, file in files]
        return lambda: works

    def take(self, made):
        self.taken.append(made.image)

    def end(self):
        pass


def in_two_folders(folder, data):
    """Every other picture in the second of two folders, in whose place there is a file; what brings it back."""
    (folder / "here").mkdir()
    (folder / "away").mkdir()
    (folder / "there").write_text("")
    for index, picture in enumerate(data.pictures):
        path = folder / ("there" if index % 2 else "here") / f"{index}.png"
        data.pictures[index] = replace(picture, image=replace(picture.image, path=path))
    data.images = [picture.image for picture in data.pictures]

    def bring_back():
        (folder / "there").unlink()
        (folder / "away").rename(folder / "there")

    return bring_back


def test_latents_wait_for_each_folder_that_refuses_them(tmp_path):
    """The first picture's folder is there all the time."""
    data, recorder = tiny_data(6), Recorder()
    when_paused(recorder, in_two_folders(tmp_path, data))
    keeper = Written(data.images)
    cache_latents(keeper, data.images, 2, Readers(0), Team(), recorder.report)
    assert sorted(keeper.taken) == list(range(6)) and len(recorder.of("goes_on")) == 1
    assert all(image.path.with_suffix(".npz").is_file() for image in data.images)
    assert str(tmp_path / "there") in recorder.of("paused")[0].path


def test_encoded_captions_wait_for_each_folder_that_refuses_them(tmp_path):
    data = tiny_data(4)
    bring_back = in_two_folders(tmp_path, data)
    values = {"max_train_steps": 1, "cache_text_encoder_outputs_to_disk": True}
    trainer, recorder = make_trainer(tmp_path, data=data, **values)
    when_paused(recorder, bring_back)
    trainer.run()
    assert len(recorder.of("goes_on")) == 1 and str(tmp_path / "there") in recorder.of("paused")[0].path
    assert len(list(tmp_path.rglob("*_te_outputs.npz"))) == 4


def test_a_drive_that_is_gone_is_told_from_the_folder_below_it(tmp_path, monkeypatch):
    """What unmounting does, as numbers: the folder is there, on the disk below."""
    ground = Ground(tmp_path)
    ground.check()
    ground._below, ground._device = ground._device, ground._device + 1
    with pytest.raises(FileNotFoundError, match="the drive that it lay on is gone"):
        ground.check()


def test_a_real_training_whose_folder_goes_and_comes_back(made):
    """Renamed away, then a limit on its files, then a stop: one process after all of it, and a whole state."""
    program = Program(
        made, "fine_tune.py", *TRAIN, "--output_dir=drive/out", "--save_every_n_steps=2", "--save_last_n_steps=4"
    )
    drive, away = made / "drive", made / "away"
    try:
        program.wait_for(lambda: program.told("saved"))
        drive.rename(away)
        program.wait_for(lambda: program.told("paused"))
        time.sleep(0.5)
        assert not drive.exists(), "it was made anew where the drive was"
        assert program.told("paused")[0]["kind"] == "gone"
        away.rename(drive)
        program.ask("try_again")
        program.wait_for(lambda: program.told("goes_on"))

        _, hard = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (1_000_000, hard))
        program.wait_for(lambda: len(program.told("paused")) == 2)
        assert program.told("paused")[1]["kind"] == "full"
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        program.ask("save_elsewhere", str(made / "other"))
        program.wait_for(lambda: len(program.told("goes_on")) == 2)
        program.send(signal.SIGINT)
        assert program.ends() == 0, program.said
        assert len(list((made / "other").glob("X-step*-state/state.json"))) == 1
        assert not program.parts()
    finally:
        program.kill()
        shutil.rmtree(away, ignore_errors=True)


@pytest.mark.parametrize("work", ["merge", "clean"])
def test_metadata_wait_for_room_and_are_then_as_ever(tmp_path, limit, work):
    folder, out = tmp_path / "pictures", tmp_path / "out.json"
    folder.mkdir()
    for number in range(40):
        Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
        (folder / f"{number}.caption").write_text(f"picture number {number}, " + "of a meadow " * 60)
    (folder / "7.caption").write_bytes(b"\xff\x00\xfe")
    merged = MergeOptions(train_data_dir=str(folder), out_json=str(tmp_path / "in.json"))
    merge_texts(merged, ".caption", "caption", Report(out=io.StringIO()))
    (tmp_path / "in.json").rename(tmp_path / "whole.json") if work == "merge" else None
    recorder = Recorder()
    limit(2000)
    waiting = when_paused(recorder, lambda: limit(None))
    if work == "merge":
        merge_texts(MergeOptions(train_data_dir=str(folder), out_json=str(out)), ".caption", "caption", recorder.report)
        assert out.read_bytes() == (tmp_path / "whole.json").read_bytes()
    else:
        clean_metadata(str(tmp_path / "in.json"), str(out), None, False, recorder.report)
        assert len(json.loads(out.read_text())) == len(json.loads((tmp_path / "in.json").read_text()))
    waiting.join()
    assert [event.kind for event in recorder.of("paused")] == ["full"] and recorder.of("goes_on")
    (summary,) = recorder.of("summary")
    assert summary.counts.get("merged", 40) >= 39 and recorder.report.failed <= 1
