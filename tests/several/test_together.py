"""Processes that share a stage before training: played by threads that have a store in common, as processes do."""

import io
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image
from torch.distributed import HashStore

from sd_scripts.library import systems, together
from sd_scripts.library.errors import NothingUsable
from sd_scripts.library.report import Report
from sd_scripts.library.systems import ProcessId
from sd_scripts.library.tagging.folder import SentenceFiles, describe_pictures
from sd_scripts.library.tagging.tag_files import TagJson
from sd_scripts.library.team import Team, launched, own_cores
from sd_scripts.library.together import LeftAlone, Together
from sd_scripts.options.common import LoadingOptions, PicturesOptions


def first_pixel(path):
    with Image.open(path) as image:
        return np.array(image.getpixel((0, 0)))


class Reds:
    """A describer that says the first pixel's red, and keeps what it saw."""

    fixed_batch_size = None
    threads_read = True

    def __init__(self, words=list):
        self.seen, self._words = [], words

    def preparer(self, fast_decode=False):
        return first_pixel

    def gather(self, images):
        return np.stack(images)

    def describe(self, images, paths):
        self.seen += paths
        return [self._words([f"red {pixel[0]}"]) for pixel in images]


def first_of(words):
    return words[0]


@pytest.fixture
def pictures(tmp_path):
    """Nine pictures, two files that are none, and one that would share the text of another."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for red in range(9):
        Image.new("RGB", (2, 2), (red, 0, 0)).save(folder / f"{red}.png")
    Image.new("RGB", (2, 2)).save(folder / "4.webp")
    for name in ("broken a.png", "broken b.png"):
        (folder / name).write_bytes(b"no picture")
    return sorted(folder.iterdir())


def played(work, size):
    """Does `work(report)` in so many processes; gives their reports and what the first one told."""
    store, events, errors = HashStore(), [], []
    reports = [Report(out=io.StringIO()) for _ in range(size)]

    def play(rank):
        report = reports[rank]
        report.team = Together(rank, size, store)
        report.emit = events.append if rank == 0 else lambda event: None
        try:
            work(report)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=play, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return reports, events, errors


def described(pictures, describers, writer):
    loading = LoadingOptions(batch_size=2, max_data_loader_n_workers=0)

    def work(report):
        asked = PicturesOptions(train_data_dir=str(pictures[0].parent))
        describe_pictures(pictures, describers[report.team.rank], writer(), asked, loading, report)

    return played(work, len(describers))


def test_every_picture_is_described_once_and_one_report_tells_of_all(pictures):
    describers = [Reds(words=first_of) for _ in range(3)]
    _, events, errors = described(pictures, describers, lambda: SentenceFiles(".caption"))
    assert not errors
    seen = [path for one in describers for path in one.seen]
    assert len(seen) == len(set(seen)) == 9
    # Shares are alike, though some pictures cannot be used.
    assert max(len(one.seen) for one in describers) <= 4
    assert [path.with_suffix(".caption").read_text() for path in pictures if path.stem.isdigit()].count("red 8\n") == 1
    assert sorted(event.item for event in events if event.event == "item_failed") == sorted(
        str(path) for path in pictures if path.suffix == ".webp" or "broken" in path.name
    )
    [summary] = [event for event in events if event.event == "summary"]
    assert summary.counts == {"described": 9, "total": 12, "skipped": 3}


def test_progress_comes_to_the_end_though_another_process_is_slower(pictures):
    done = threading.Event()

    class First(Reds):
        def gather(self, images):
            if len(self.seen) + len(images) == 4:
                done.set()
            return super().gather(images)

    class Second(Reds):
        def gather(self, images):
            assert done.wait(30)
            return super().gather(images)

    _, events, errors = described(
        pictures, [First(words=first_of), Second(words=first_of)], lambda: SentenceFiles(".caption")
    )
    assert not errors
    last = [event for event in events if event.event == "progress" and event.phase == "describe"][-1]
    assert (last.done, last.total) == (12, 12)


def test_one_file_of_tags_is_as_that_of_one_process(pictures, tmp_path):
    def tags(count, name):
        described(pictures, [Reds() for _ in range(count)], lambda: TagJson(tmp_path / name, ", ", append=False))
        return (tmp_path / name).read_text()

    assert tags(3, "three.json") == tags(1, "one.json")


def test_a_stop_of_one_is_a_stop_of_all(monkeypatch):
    monkeypatch.setattr(together, "TELL_EVERY_S", 0.0)
    store, reports = HashStore(), [Report(out=io.StringIO()) for _ in range(2)]
    for rank, report in enumerate(reports):
        report.team = Together(rank, 2, store)
    assert not any(report.stop_asked() for report in reports)
    reports[1].ask("stop")
    assert reports[1].stop_asked() and reports[0].stop_asked()


def test_nothing_usable_is_said_by_all_where_nobody_found_anything(pictures):
    broken = [path for path in pictures if "broken" in path.name]
    _, _, errors = described(broken, [Reds(), Reds()], lambda: SentenceFiles(".caption"))
    assert [type(error) for error in errors] == [NothingUsable] * 2


def test_progress_counts_all_shares():
    store, (first, second) = HashStore(), (None, None)
    first, second = (Together(rank, 2, store) for rank in range(2))
    assert second.come_to(1, 3, 10) == (3, 10)
    assert first.come_to(1, 2, 10) == (5, 20)
    # Of the next phase the other one has not told yet.
    assert first.come_to(2, 1, 4) == (1, 4)
    assert Team().come_to(1, 2, 10) == (2, 10)


def test_whoever_waits_for_one_that_has_ended_says_so():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        pid = systems.identify(other.pid)
        other.kill()
    store = HashStore()
    Together(1, 2, store).come_as(ProcessId(pid.pid, pid.created_s))
    with pytest.raises(LeftAlone, match="Process 2 of 2 has ended before its share was done"):
        Together(0, 2, store).gather("x")


def test_only_one_at_a_time():
    inside, most = [], []

    def work(report):
        for _ in range(5):
            report.team.in_turn(lambda: (inside.append(1), most.append(len(inside)), inside.pop()))

    played(work, 3)
    assert len(most) == 15 and max(most) == 1


def test_shares_are_whole_and_keep_together_what_belongs_together():
    teams = [Team(rank, 3) for rank in range(3)]
    assert sorted(item for team in teams for item in team.share(range(10))) == list(range(10))
    by_letter = [set(team.share(["a1", "b1", "a2", "c1", "d1", "b2"], lambda name: name[0])) for team in teams]
    assert by_letter == [{"a1", "a2", "d1"}, {"b1", "b2"}, {"c1"}]


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("granted_us", "cores"), [("250000", 3), ("50000", 1), ("max", 8), ("-1", 8), ("9900000", 8)])
def test_a_container_has_the_cores_that_its_limit_leaves(monkeypatch, tmp_path, older, granted_us, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    files = {"cpu.max": f"{granted_us} 100000\n"}
    if older:
        files = {"cpu/cpu.cfs_quota_us": f"{granted_us}\n", "cpu/cpu.cfs_period_us": "100000\n"}
        (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert own_cores(tmp_path) == cores


def test_a_process_knows_its_part_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert own_cores(tmp_path) == 4
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched() == Team(1, 2) and not launched().first
