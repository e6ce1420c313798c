"""Files and folders appear whole or not at all, also for who is killed at the worst moment; what is left is cleared."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sd_scripts.library.errors import BadFile
from sd_scripts.library.events import LineReader
from sd_scripts.library.io import atomic, leftovers
from sd_scripts.library.io.atomic import open_for_lines, replacing, replacing_folder, write_text
from sd_scripts.library.io.metadata import read_metadata, write_entries
from sd_scripts.library.io.twice import copy_of, read_either, write_twice

ROOT = Path(__file__).resolve().parents[2]
DAY_S = 86_400
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do it in two steps, or not")


@pytest.fixture(autouse=True)
def looks_again(monkeypatch):
    """A folder is tidied at each writing, as by a program that has just started."""
    monkeypatch.setattr(leftovers, "_AGAIN_S", 0.0)


def killed(code, *arguments):
    """Runs code that kills its own process, hard."""
    ended = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def names(folder):
    return sorted(path.name for path in folder.iterdir())


BETWEEN = """
import os, signal, sys
from pathlib import Path
from sd_scripts.library.io import atomic
rename, path = os.replace, Path(sys.argv[1])
atomic._exchange = lambda one, other: False
def replace(one, other):
    rename(one, other)
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
with atomic.replacing_folder(path) as beside:
    (beside / "who").write_text("new")
"""


def test_a_folder_that_was_moved_away_when_its_writer_was_killed_is_put_back(tmp_path):
    state = tmp_path / "X-state"
    state.mkdir()
    (state / "who").write_text("old")
    killed(BETWEEN, state)
    assert not state.exists() and len(names(tmp_path)) == 2
    leftovers.tidy(tmp_path)
    assert names(tmp_path) == ["X-state"] and (state / "who").read_text() == "old"


def test_a_check_before_work_puts_it_back_too(tmp_path):
    from sd_scripts.library.train.checks.output import check_states
    from sd_scripts.options.training import SavingOptions, StateOptions

    state = tmp_path / "X-state"
    state.mkdir()
    (state / "state.json").write_text("{}")
    killed(BETWEEN, state)
    check_states(StateOptions(resume=str(state)), SavingOptions())
    assert names(tmp_path) == ["X-state"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    for text in ("old", "new"):
        with replacing_folder(tmp_path / "it") as beside:
            (beside / "in").mkdir()
            (beside / "in" / "who").write_text(text)
    assert (tmp_path / "it" / "in" / "who").read_text() == "new" and names(tmp_path) == ["it"]


@on_linux
def test_on_linux_two_folders_change_places_in_one_moment(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert atomic._exchange(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path / "a") == ["b"] and names(tmp_path / "b") == ["a"]


def test_where_the_new_folder_cannot_come_the_old_one_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    rename = os.replace

    def replace(one, other):
        if ".part" in Path(one).name:
            raise OSError(28, "No space left on device")
        rename(one, other)

    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "who").write_text("old")
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(BadFile, match="No space left"), replacing_folder(tmp_path / "it") as beside:
        (beside / "who").write_text("new")
    assert (tmp_path / "it" / "who").read_text() == "old" and names(tmp_path) == ["it"]


WRITING = """
import os, signal, sys
from pathlib import Path
from sd_scripts.library.io.atomic import replacing, replacing_folder
with replacing(Path(sys.argv[1], "a.txt")) as file, replacing_folder(Path(sys.argv[1], "b")) as folder:
    file.write_text("half")
    (folder / "c").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_program_left_goes_with_the_next_writing_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "before")
    mine = [".notes.part", ".a-00ffaa-7-draft.txt", ".a-12345678.part.txt", "a.part.txt"]
    for name in mine:
        (tmp_path / name).write_text("the user's own")
    killed(WRITING, tmp_path)
    assert len(names(tmp_path)) == len(mine) + 3 and (tmp_path / "a.txt").read_text() == "before"
    write_text(tmp_path / "d.txt", "next")
    assert names(tmp_path) == sorted([*mine, "a.txt", "d.txt"])


def test_what_a_living_process_or_another_machine_writes_stays(tmp_path):
    with replacing(tmp_path / "slow.txt") as beside:
        os.utime(beside, (time.time() + 60, time.time() + 60))
        foreign = tmp_path / ".a-000000-1-aaaaaaaa.part.txt"
        foreign.touch()
        old = tmp_path / ".b-000000-1-aaaaaaaa.part.txt"
        old.touch()
        os.utime(old, (time.time() - 2 * DAY_S,) * 2)
        write_text(tmp_path / "d.txt", "next")
        assert beside.exists() and foreign.exists() and not old.exists()
        beside.write_text("done")
    assert (tmp_path / "slow.txt").read_text() == "done"


def test_a_number_that_was_given_to_another_process_protects_nothing(tmp_path):
    left = tmp_path / f"{leftovers.beginning('a')}aaaaaaaa.part.txt"
    left.touch()
    os.utime(left, (time.time() - 2 * DAY_S,) * 2)
    write_text(tmp_path / "d.txt", "next")
    assert names(tmp_path) == ["d.txt"]


@on_linux
def test_files_and_the_folders_around_them_are_flushed_before_and_after_the_rename(tmp_path, monkeypatch):
    done = []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), flush(handle))
    )
    monkeypatch.setattr(os, "replace", lambda one, other: (done.append("rename"), rename(one, other)))
    write_text(tmp_path / "new" / "a.txt", "text")
    told = [one.replace(str(tmp_path), "") for one in done]
    assert told[0] == "" and ".part" in told[1] and told[2:] == ["rename", "/new"]
    done.clear()
    with replacing_folder(tmp_path / "b") as beside:
        (beside / "c").write_text("text")
    told = [one.replace(str(tmp_path), "") for one in done]
    assert [".part/c" in told[0], ".part" in told[1], *told[2:]] == [True, True, "rename", ""]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
@pytest.mark.parametrize("linked", [True, False])
def test_who_may_read_a_file_may_read_the_one_in_its_place_and_the_one_before(tmp_path, monkeypatch, linked):
    if not linked:
        # As on a drive that knows no second names.
        monkeypatch.setattr(os, "link", lambda *_: os.stat(tmp_path / "no such file"))
    path = tmp_path / "meta.json"
    path.write_text('{"a": {}}')
    path.chmod(0o600)
    before = path.stat()
    for key in "bc":
        write_entries(path, iter([(key, {"caption": key})]))
        assert [stat.S_IMODE(one.stat().st_mode) for one in (path, copy_of(path))] == [0o600, 0o600]
        assert (copy_of(path).stat().st_ino == before.st_ino) == linked or key == "c"
    write_text(tmp_path / "new.txt", "new")
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o666 & ~atomic._umask()
    with replacing_folder(tmp_path / "state"):
        pass
    (tmp_path / "state").chmod(0o700)
    with replacing_folder(tmp_path / "state"):
        pass
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
def test_a_file_of_another_user_is_kept_and_replaced():
    nobody = 65534
    # Not in a folder of root's own.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = Path(folder, "meta.json")
        path.write_text('{"a": {}}')
        path.chmod(0o666)
        os.seteuid(nobody)
        try:
            write_entries(path, iter([("b", {"caption": "b"})]))
        finally:
            os.seteuid(0)
        assert read_metadata(path) == {"b": {"caption": "b"}} and path.stat().st_uid == nobody
        assert json.loads(copy_of(path).read_text()) == {"a": {}}


def test_where_nobody_may_set_rights_files_are_written_all_the_same(tmp_path, monkeypatch):
    """As on a stick whose files all belong to who put it in."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_copy_of_what_was_there_before_that_cannot_be_made_is_told_and_costs_nothing(tmp_path, caplog):
    path = tmp_path / "meta.json"
    write_entries(path, iter([("a", {"caption": "a"})]))
    copy_of(path).mkdir()
    write_entries(path, iter([("b", {"caption": "b"})]))
    assert read_metadata(path) == {"b": {"caption": "b"}} and names(tmp_path) == ["meta.json", "meta.json.bak"]
    assert f"What stood in {path} before is not kept. Cannot write {copy_of(path)}" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody remove such a folder")
@pytest.mark.parametrize("name", ["a.txt", "new/a.txt"])
def test_where_the_program_s_own_folder_is_gone_that_is_a_sentence(tmp_path, monkeypatch, name):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    for work in (atomic.check_writable, lambda path: write_text(path, "text")):
        with pytest.raises(BadFile, match=f"Cannot write {name}: No such file or directory"):
            work(Path(name))


def test_a_drive_that_is_not_there_is_a_sentence(monkeypatch):
    """A path of Windows begins with a drive, which may be missing; here there is one that seems to be."""
    path = Path(Path.cwd().anchor, "out", "a.txt")
    monkeypatch.setattr(Path, "exists", lambda self: False)
    for work in (atomic.check_writable, lambda path: write_text(path, "text")):
        with pytest.raises(BadFile, match="a.txt: No such file or directory"):
            work(path)


def test_a_torn_last_line_spoils_only_itself(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": 1}\n{"eve')
    with open_for_lines(path) as stream:
        stream.write('{"event": 2}\n')
    assert LineReader(path).new_lines() == ['{"event": 1}', '{"eve', '{"event": 2}']


def test_of_a_file_that_is_kept_twice_one_may_be_damaged(tmp_path):
    path = tmp_path / "queue.json"
    assert read_either(path, dict) == (None, False)
    write_twice(path, {"a": 1})
    copy_of(path).write_text("damaged")
    assert read_either(path, dict) == ({"a": 1}, False)
    write_twice(path, {"a": 2})
    path.write_bytes(path.read_bytes()[:5])
    assert read_either(path, dict) == ({"a": 2}, True)
    write_twice(path, {"a": 3})
    assert json.loads(path.read_text()) == {"a": 3} and (tmp_path / "queue.json.damaged").read_bytes() == b'{\n  "'


def test_what_a_drive_took_along_while_it_was_removed_goes_when_that_is_back(tmp_path, monkeypatch):
    out, away = tmp_path / "out", tmp_path / "away"
    (out / "X-state").mkdir(parents=True)
    (out / "X-state" / "state.json").write_text("{}")

    def taken_away(folder, **_):
        out.rename(away)

    with monkeypatch.context() as now:
        now.setattr(leftovers.shutil, "rmtree", taken_away)
        leftovers.discard(out / "X-state")
    assert [leftovers.is_leftover(name) for name in names(away)] == [True]
    away.rename(out)
    write_text(out / "new.txt", "new")
    assert names(out) == ["new.txt"]


def test_the_same_for_a_file_in_a_folder_that_is_named_from_where_the_program_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = Path("out")
    out.mkdir()
    with pytest.raises(BadFile), replacing(out / "a.txt") as beside:
        beside.write_text("half")
        out.rename("away")
    Path("away").rename(out)
    write_text(out / "b.txt", "whole")
    assert names(out) == ["b.txt"]
