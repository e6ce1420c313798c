"""--cache_latents_to_disk: what is written, what is used again, and what is made anew."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.data.latents import read_for_training, read_mask
from sd_scripts.library.data.prefetch import Readers
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.models.vae import vae_hash
from sd_scripts.library.team import Team
from sd_scripts.library.train import caching
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.caching import _shares, cache_latents
from sd_scripts.library.train.keepers import OnDisk
from sd_scripts.library.train.precision import encoding_precision
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values
from tests.train.tiny import Recorder, make_trainer, tiny_family

CONFIG = """
[[datasets]]
resolution = 64
[[datasets.subsets]]
image_dir = "pics"
class_tokens = "noise"
"""
SECOND = CONFIG.replace("64", "[128, 64]")


@pytest.fixture(autouse=True)
def pics(tmp_path, monkeypatch):
    folder = tmp_path / "pics"
    folder.mkdir()
    for n, size in enumerate(((96, 64), (64, 96), (64, 64))):
        image = Image.fromarray(np.random.default_rng(n).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8))
        image.save(folder / f"{n}.png")
    monkeypatch.chdir(tmp_path)
    return folder


def run(text=CONFIG, family=None, stop=False, **values):
    """Trains one step; (trainer, recorder, names of files written or changed)."""
    Path("data.toml").write_text(text)
    values = {"cache_latents_to_disk": True, "max_train_steps": 1, "dataset_config": "data.toml"} | values
    family = family or tiny_family()
    recorder = Recorder()
    given = from_values(FineTuneOptions, values)
    hash_and_precision = vae_hash(family.vae), "sd", encoding_precision(given)
    data = read_data(given, recorder.report, *hash_and_precision)
    before = {path: path.stat().st_mtime_ns for path in Path("pics").glob("[!.]*")}
    trainer, told = make_trainer(Path.cwd(), family, data, as_asked=False, **values)
    if stop:
        progress = trainer.report.progress
        trainer.report.progress = lambda *args: (progress(*args), trainer.report.ask("stop"))
    trainer.run()
    after = {path: path.stat().st_mtime_ns for path in Path("pics").glob("[!.]*")}
    told.out.write(recorder.said)
    return trainer, told, sorted(path.name for path in after if after[path] != before.get(path))


NAMES = ["0_0096x0064_sd.npz", "1_0064x0096_sd.npz", "2_0064x0064_sd.npz"]


def test_what_is_written_is_used_again(pics):
    first, recorder, written = run()
    assert written == NAMES and first.data.uncached() == []
    again, told, written = run()
    assert written == [] and "All latents are on disk already: none are made" in told.said
    assert [event.name for event in told.of("phase")] == ["train", "save"]
    assert told.losses == recorder.losses
    with np.load(pics / NAMES[0]) as file:
        assert file["latents"].shape == (4, 8, 8) and file["latents"].dtype == np.float32
        assert file["original_size"].tolist() == [96, 64] and file["crop_ltrb"].tolist() == [16, 0, 80, 64]
        assert "latents_flipped" not in file and "alpha_mask" not in file


def test_a_changed_picture_is_noticed_even_at_the_same_size_in_bytes(pics):
    Image.new("RGB", (64, 64), "red").save(pics / "2.bmp")
    (pics / "2.png").unlink()
    # A time that stays too new to be trusted, however long a run takes.
    too_new = time.time_ns() + 3600 * 10**9
    os.utime(pics / "2.bmp", ns=(too_new, too_new))
    run()
    size = (pics / "2.bmp").stat().st_size
    Image.new("RGB", (64, 64), "blue").save(pics / "2.bmp")
    os.utime(pics / "2.bmp", ns=(too_new, too_new))
    assert (pics / "2.bmp").stat().st_size == size
    assert run(skip_cache_check=True)[2] == []
    _, told, written = run()
    assert written == ["2_0064x0064_sd.npz"]
    assert "Latents on disk: 2 fit, 1 made anew: 1 as the picture has changed since." in told.said


def test_another_picture_of_the_same_size_and_age_is_noticed_by_verifying(pics):
    for path in pics.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    run()
    data = (pics / "2.png").read_bytes()
    (pics / "2.png").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(pics / "2.png", ns=(10**18, 10**18))
    assert run()[2] == []
    _, told, written = run(verify_cache=True)
    assert written == ["2_0064x0064_sd.npz"]
    assert "read again as a whole; 2 are right, 1 are not" in told.said


@pytest.fixture
def any_precision():
    """Accelerate remembers the precision of a process."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def test_another_precision_makes_them_anew(any_precision):
    run(mixed_precision="bf16", no_half_vae=True)
    _, told, written = run(mixed_precision="bf16")
    assert written == NAMES and "0 fit, 3 made anew: 3 as they were made in another precision." in told.said
    assert run(mixed_precision="bf16")[2] == []


def test_another_vae_makes_them_anew(pics):
    run()
    assert run(family=tiny_family(1), skip_cache_check=True)[2] == []
    _, told, written = run(family=tiny_family(1))
    assert written == NAMES and "0 fit, 3 made anew: 3 as they come from another VAE." in told.said


def test_several_sizes_share_a_file(pics):
    run()
    trainer, _, written = run(CONFIG + SECOND)
    assert written == NAMES
    with np.load(pics / NAMES[0]) as file:
        assert file["latents"].shape == (4, 8, 8) and file["latents_8x16"].shape == (4, 8, 16)
    assert [trainer.data.load(Item(n, 0), Moment()).latents_CHW.shape[2] for n in range(6)] == [8, 8, 8, 16, 16, 16]
    assert run(CONFIG + SECOND)[2] == run(SECOND)[2] == []
    # The picture changes: what was made of the old one goes.
    Image.new("RGB", (96, 64)).save(pics / "0.png")
    assert run()[2] == [NAMES[0]]
    with np.load(pics / NAMES[0]) as file:
        assert not [name for name in file if name.endswith("_8x16")]


def test_mirror_image_and_mask(pics):
    run()
    more = CONFIG + "flip_aug = true\nalpha_mask = true\n"
    trainer, _, written = run(more)
    assert written == NAMES and run(more)[2] == []
    path = pics / NAMES[2]
    plain, mirrored = (read_for_training(path, (64, 64), flipped) for flipped in (False, True))
    assert not np.array_equal(plain, mirrored)
    assert np.array_equal(read_mask(path, (64, 64)), read_mask(path, (64, 64), True)[:, ::-1])
    seen = [trainer.data.load(Item(2, 0), Moment(epoch)) for epoch in range(20)]
    assert {example.seen for example in seen} == {"", "mirrored"}
    assert all(example.mask_HW.shape == (8, 8) for example in seen)
    assert run(CONFIG + "alpha_mask = true\n")[2] == []


def test_what_was_made_before_a_stop_stays(pics):
    trainer, told, written = run(stop=True)
    assert 0 < len(written) < len(NAMES) and not told.losses
    assert "Stopped as asked before the first step" in told.said
    assert sorted(run()[2] + written) == NAMES


def test_what_cannot_be_written_or_read_is_said(pics):
    (pics / "1.png").write_text("no picture")
    (pics / NAMES[0]).mkdir()
    with pytest.raises(BadFile, match="0_0096x0064_sd.npz"):
        run()
    (pics / NAMES[0]).rmdir()
    Image.new("RGB", (64, 64)).save(pics / "2.jpg")
    with pytest.raises(BadOption, match="2.jpg and pics/2.png would share a file. Rename one"):
        run()


def test_processes_share_the_work(pics):
    """Two processes, played by threads: each makes its part, and both know of all."""
    Path("data.toml").write_text(CONFIG + SECOND)
    (pics / "1.png").write_bytes((pics / "1.png").read_bytes()[:200])
    given = from_values(FineTuneOptions, {"dataset_config": "data.toml", "cache_latents_to_disk": True})
    data = [read_data(given, Recorder().report, "vae") for _ in range(2)]
    trainer, _ = make_trainer(Path.cwd())
    encoder = Encoder(trainer.family, trainer.accelerator, True)
    meeting, values, made = threading.Barrier(2, timeout=60), [None, None], []

    class Played(Team):
        def gather(self, own):
            values[self.rank] = own
            meeting.wait()
            found = list(values)
            meeting.wait()
            return found

        def any(self, own):
            return any(self.gather(own))

    class Noted(OnDisk):
        def begin(self, loaded):
            made.extend(read.image for read in loaded)
            return super().begin(loaded)

    def work(rank):
        keeper = Noted(data[rank], encoder)
        cache_latents(keeper, data[rank].images, 2, Readers(0), Played(rank, 2), Recorder().report)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 2, 3, 5]
    for one in data:
        assert one.uncached() == [] and {item.image for batch in one.plan(0, 1) for item in batch} == {0, 2, 3, 5}


def test_no_more_readers_than_cores(pics, monkeypatch):
    """Further ones make nothing faster, and hold a picture each."""
    for number in range(3, 12):
        (pics / f"{number}.png").write_bytes((pics / "0.png").read_bytes())
    Path("data.toml").write_text(CONFIG)
    data = read_data(from_values(FineTuneOptions, {"dataset_config": "data.toml"}), Recorder().report, "vae")
    trainer, _ = make_trainer(Path.cwd())
    monkeypatch.setattr(caching, "own_cores", lambda: 2)
    readers = set()

    class Noted(OnDisk):
        def load(self, item):
            readers.add(threading.current_thread().name)
            time.sleep(0.01)
            return super().load(item)

    keeper = Noted(data, Encoder(trainer.family, trainer.accelerator, True))
    cache_latents(keeper, data.images, 12, Readers(8), Team(), Recorder().report)
    assert len(readers) <= 2


def test_all_sizes_of_a_picture_go_to_one_process():
    Path("data.toml").write_text(CONFIG + SECOND)
    data = read_data(from_values(FineTuneOptions, {"dataset_config": "data.toml"}), Recorder().report)
    assert _shares(data.images, list(range(6)), 2) == [[0, 2, 3, 5], [1, 4]]
    assert _shares(data.images, [1, 2], 1) == [[1, 2]]


AGAIN = '[[datasets.subsets]]\nimage_dir = "pics"\nclass_tokens = "again"\n'


def test_a_picture_in_two_subsets_has_what_either_wants(pics):
    for both in (CONFIG + "flip_aug = true\n" + AGAIN, CONFIG + AGAIN + "flip_aug = true\n"):
        for path in pics.glob("*.npz"):
            path.unlink()
        mirrors = [n for n, subset in enumerate(both.split("[[datasets.subsets]]")[1:]) if "flip_aug" in subset]
        for trainer in (run(both)[0], run(both)[0]):
            assert trainer.data.plan(0, 1)
            seen = [{trainer.data.load(Item(n, 0), Moment(epoch)).seen for epoch in range(12)} for n in (2, 5)]
            assert [n for n, words in enumerate(seen) if "mirrored" in words] == mirrors


def test_a_mirror_image_is_shown_only_where_it_is_asked_for(pics):
    run(CONFIG + "flip_aug = true\n")
    trainer, _, written = run()
    assert written == []
    assert {trainer.data.load(Item(2, 0), Moment(epoch)).seen for epoch in range(20)} == {""}


def test_a_file_cannot_hold_one_size_in_two_ways(pics):
    for ways in (("alpha_mask = true", ""), ("", 'resize_interpolation = "area"')):
        first, second = ways
        with pytest.raises(BadOption, match=r"pics/0.png is shown at 64 x 64 px in two ways .*--cache_latents"):
            run(f"{CONFIG}{first}\n{AGAIN}{second}\n")


def test_a_picture_that_comes_later_does_not_take_the_file_of_another(pics):
    run()
    Image.new("RGB", (64, 64)).save(pics / "2.jpg")
    with pytest.raises(BadOption, match="2.jpg and pics/2.png would share a file. Rename one"):
        run()
