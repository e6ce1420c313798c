"""The latents stage: what it writes, keeps, makes again and says."""

import copy
import dataclasses
import hashlib
import io
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sd_scripts.library.asked import Asked
from sd_scripts.library.data import latents_stage
from sd_scripts.library.data.buckets import BucketRules
from sd_scripts.library.data.images import open_image
from sd_scripts.library.data.known_files import INDEX
from sd_scripts.library.data.late_writing import LateWriting, Work
from sd_scripts.library.data.latents import read_latents
from sd_scripts.library.data.latents_worker import Wanted, make_ready
from sd_scripts.library.data.prepare_latents import prepare_latents
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable
from sd_scripts.library.events import LineReader, Requests, Stopped, Summary, from_line, request_line
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.models.vae import LoadedVae, load_vae
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.latents import PrepareLatentsOptions
from sd_scripts.options.spec import from_values
from tests.data.bad_pictures import BROKEN, NAMES, ODD, quarters, write_named, write_pictures


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sd1(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@cache
def read_vae(path: str, v2: bool) -> LoadedVae:
    return load_vae(path, v2)


def vae_of(path: str, v2: bool = False) -> LoadedVae:
    """As load_vae, which is called once: the copies may be turned into other number formats."""
    loaded = read_vae(path, v2)
    return dataclasses.replace(loaded, module=copy.deepcopy(loaded.module))


class Stage:
    """A folder with pictures, its metadata, and the stage to run on it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.pics = folder / "pics"
        self.entries: dict[str, Any] = {}
        self.model = model
        self.folder = folder
        self.said = ""

    def add(self, *names: str, size: tuple[int, int] = (96, 64)) -> None:
        write_named(self.pics, names)
        for name in names:
            if size != (96, 64):
                quarters(*size).save(self.pics / name)
            self.entries[Path(name).stem] = {"caption": name}

    def run(self, requests: Requests | None = None, **values: object) -> dict[str, Any]:
        """Runs the stage at 64 px, to be quick; gives the metadata written."""
        given = {
            "train_data_dir": str(self.pics),
            "in_json": str(self.folder / "in.json"),
            "out_json": str(self.folder / "out" / "lat.json"),
            "model_name_or_path": str(self.model),
            "max_resolution": "64",
            "min_bucket_reso": 32,
            "max_bucket_reso": 128,
            "bucket_reso_steps": 32,
            "max_data_loader_n_workers": 0,
        } | values
        if "in_json" not in values and not (self.folder / "in.json").exists():
            (self.folder / "in.json").write_text(json.dumps(self.entries), encoding="utf-8")
        events = self.folder / "events.jsonl"
        events.unlink(missing_ok=True)
        report = Report(events, Asked(requests), io.StringIO())
        try:
            prepare_latents(from_values(PrepareLatentsOptions, given), report, vae_of)
        finally:
            self.said = report._out.getvalue()
            self.failures = {Path(item).name: reason for item, reason in report.failures}
            report.close()
            self.events = [from_line(line)[1] for line in LineReader(events).new_lines()]
        out = Path(given["out_json"])
        return json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}

    def latents(self, name: str) -> np.ndarray:
        return read_latents(self.pics / f"{name}.npz").latents_CHW


@pytest.fixture
def stage(tmp_path: Path, model: Path) -> Stage:
    return Stage(tmp_path, model)


def test_latents_and_sizes_are_written_and_can_be_trained(stage: Stage) -> None:
    stage.add("a.png", "b.png")
    stage.add("wide.png", size=(300, 100))
    out = stage.run()
    assert out["wide"] == {"caption": "wide.png", "train_resolution": [96, 32]}
    assert list(out) == ["a", "b", "wide"]
    assert stage.latents("wide").shape == (4, 4, 12) and stage.latents("a").dtype == np.float32
    given = {"train_data_dir": str(stage.pics), "in_json": str(stage.folder / "out" / "lat.json")}
    options = from_values(FineTuneOptions, given)
    data = read_data(options, Report(out=io.StringIO()), vae_hash=vae_of(str(stage.model)).hash)
    assert data.uncached() == [] and [i.bucket_px for i in data.images] == [(64, 64), (64, 64), (96, 32)]
    summary = stage.events[-1]
    assert isinstance(summary, Summary)
    assert summary.counts == {"made": 3, "kept": 0, "not_in_metadata": 0, "without_picture": 0}
    assert summary.tables["buckets"] == [
        {"width": 64, "height": 64, "images": 2, "mean_aspect_error": 0.5},
        {"width": 96, "height": 32, "images": 1, "mean_aspect_error": 0.0},
    ]
    assert "     64 x 64         2   0.5000" in stage.said
    phases = [event.name for event in stage.events if event.event == "phase"]
    assert phases == ["load_model", "sizes", "encode", "write"]


@pytest.mark.parametrize(("name", "way"), [("a", "plain"), ("a_flip", "flip")])
def test_latents_are_the_posteriors_sample_not_scaled(stage: Stage, name: str, way: str) -> None:
    stage.add("a.png", size=(64, 64))
    stage.run(flip_aug=True)
    pixels_HWC = np.array(open_image(stage.pics / "a.png"))[:, :: -1 if way == "flip" else 1]
    pixels_BCHW = torch.from_numpy(pixels_HWC.copy()).float().permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        posterior = vae_of(str(stage.model)).module.encode(pixels_BCHW).latent_dist
    content = hashlib.blake2b((stage.pics / "a.png").read_bytes(), digest_size=16).hexdigest()
    noise_CHW = torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(derive(0, "latents", content, way)))
    expected_CHW = posterior.mean[0] + posterior.std[0] * noise_CHW
    assert np.allclose(stage.latents(name), expected_CHW.numpy(), atol=1e-4)


def test_a_rerun_gives_the_same_whatever_the_batches_and_workers(stage: Stage) -> None:
    stage.add("a.png", "b.png", "c.png", "d.png")
    Image.effect_noise((96, 64), 90).save(stage.pics / "b.png")
    stage.run(batch_size=1, flip_aug=True)
    first = {p.name: read_latents(p).latents_CHW for p in stage.pics.glob("*.npz")}
    stage.run(batch_size=3, flip_aug=True, max_data_loader_n_workers=2)
    assert len(first) == 8
    for name, latents_CHW in first.items():
        assert np.allclose(latents_CHW, read_latents(stage.pics / name).latents_CHW, atol=1e-3)
    # Equal pictures give equal latents, and the mirrored ones have noise of their own.
    assert np.array_equal(first["a.npz"], first["c.npz"])
    assert not np.allclose(first["a.npz"], first["a_flip.npz"][:, :, ::-1], atol=1e-3)


def test_mirrored_latents_come_and_go_with_flip_aug(stage: Stage) -> None:
    stage.add("a.png", size=(64, 64))
    stage.run(flip_aug=True)
    assert {p.name for p in stage.pics.glob("*.npz")} == {"a.npz", "a_flip.npz"}
    stage.run(skip_existing=True)
    assert [p.name for p in stage.pics.glob("*.npz")] == ["a.npz"]
    assert "0 made, 1 kept" in stage.said


def test_a_picture_called_flip_is_no_mirror_image(stage: Stage) -> None:
    stage.add("a.png", "a_flip.png")
    with pytest.raises(BadOption, match="a.png would lie where the latents of .*a_flip.png lie. Rename one"):
        stage.run(flip_aug=True)
    stage.run()
    assert {p.name for p in stage.pics.glob("*.npz")} == {"a.npz", "a_flip.npz"}


def test_skip_existing_goes_by_content(stage: Stage, tmp_path: Path) -> None:
    names = ("same.png", "changed.png", "broken.png", "foreign.png", "new.png")
    stage.add(*names[:-1])
    for name in names[:-1]:
        # Nothing is kept of a picture that changed just now.
        os.utime(stage.pics / name, (1e9, 1e9))
    stage.run()
    assert "again" not in stage.said
    stage.run()
    assert "4 made again: those that were there would do; --skip_existing keeps such latents" in stage.said
    times = {name: (stage.pics / name).with_suffix(".npz").stat().st_mtime_ns for name in names[:-1]}
    stage.add("new.png")
    (tmp_path / "in.json").unlink()
    before = (stage.pics / "changed.png").stat()
    Image.effect_noise((96, 64), 50).convert("RGB").save(stage.pics / "changed.png")
    os.utime(stage.pics / "changed.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    whole = (stage.pics / "broken.npz").read_bytes()
    (stage.pics / "broken.npz").write_bytes(whole[:-40])
    np.savez(stage.pics / "foreign.npz", np.zeros((4, 8, 8), np.float32))
    stage.run(skip_existing=True)
    assert "4 made, 1 kept, 0 left out" in stage.said
    for reason in ("the picture has changed", "they are broken", "they do not say what they were made from"):
        assert f"1 made again: {reason}" in stage.said
    assert (stage.pics / "same.npz").stat().st_mtime_ns == times["same.png"]
    assert stage.latents("foreign").any()
    stage.run(skip_existing=True)
    assert "0 made, 5 kept" in stage.said
    # Other buckets, another format, mirror images, a mask: each makes everything again, and is said.
    for change in ({"max_resolution": "96"}, {"mixed_precision": "bf16"}, {"flip_aug": True}, {"alpha_mask": "1"}):
        stage.run(skip_existing=True, **change)
        assert "5 made, 0 kept" in stage.said
        stage.run(skip_existing=True, **change)
        assert "0 made, 5 kept" in stage.said


def aged(stage: Stage) -> None:
    """Pictures that were changed long ago, so that the index believes their times."""
    for picture in stage.pics.glob("*.png"):
        os.utime(picture, ns=(10**18, 10**18))


def test_a_second_run_opens_nothing_that_has_not_changed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{n}.png" for n in range(4)]
    stage.add(*names)
    aged(stage)
    stage.run(flip_aug=True)
    opened: list[str] = []

    def noted(wanted: Wanted, image: Path) -> Any:
        opened.append(image.name)
        return make_ready(wanted, image)

    monkeypatch.setattr(latents_stage, "make_ready", noted)
    stage.run(skip_existing=True, flip_aug=True)
    assert "0 made, 4 kept" in stage.said and not opened
    # Touched, edited, without its latents, and with its mirrored ones gone.
    os.utime(stage.pics / "0.png", ns=(10**18, 10**18 + 1))
    Image.new("RGB", (96, 64)).save(stage.pics / "1.png")
    (stage.pics / "2.npz").unlink()
    (stage.pics / "3_flip.npz").unlink()
    stage.run(skip_existing=True, flip_aug=True)
    assert "3 made, 1 kept" in stage.said and "1 made again: the picture has changed since" in stage.said
    assert sorted(opened) == names
    opened.clear()
    aged(stage)
    stage.run(skip_existing=True, flip_aug=True)
    # The edited picture was new then, so only now its time is believed; that of the touched one has changed again.
    assert "0 made, 4 kept" in stage.said and opened == ["0.png", "1.png"]


def test_verifying_sees_what_times_do_not_tell(stage: Stage) -> None:
    stage.add("a.png", "b.png", "c.png")
    aged(stage)
    stage.run()
    data = (stage.pics / "a.png").read_bytes()
    (stage.pics / "a.png").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    aged(stage)
    latents = bytearray((stage.pics / "b.npz").read_bytes())
    latents[300] ^= 1
    times = (stage.pics / "b.npz").stat()
    (stage.pics / "b.npz").write_bytes(latents)
    os.utime(stage.pics / "b.npz", ns=(times.st_atime_ns, times.st_mtime_ns))
    stage.run(skip_existing=True)
    assert "0 made, 3 kept" in stage.said
    stage.run(verify_cache=True)
    assert "2 made, 1 kept" in stage.said and "Every picture was read again" in stage.said
    for reason in ("the picture has changed since", "they are broken"):
        assert f"1 made again: {reason}" in stage.said
    stage.run(verify_cache=True)
    assert "0 made, 3 kept" in stage.said


def test_another_vae_makes_latents_anew(stage: Stage, tmp_path: Path) -> None:
    stage.add("a.png")
    stage.run()
    stage.model = make_sd1(tmp_path / "other.safetensors", seed=5)
    stage.run(skip_existing=True)
    assert "1 made again: they come from another VAE" in stage.said


def test_under_a_mask_colours_stay_and_without_one_white_lies_below(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (200, 10, 20, 0)).save(tmp_path / "clear.png")
    wanted = Wanted(BucketRules((64, 64)), vae_hash="", precision="no", alpha_mask=True)
    ready = make_ready(wanted, tmp_path / "clear.png")
    assert (ready.pixels_HWC == (200, 10, 20)).all() and (ready.alpha_mask_HW == 0).all()
    plain = make_ready(dataclasses.replace(wanted, alpha_mask=False), tmp_path / "clear.png")
    assert (plain.pixels_HWC == 255).all() and plain.alpha_mask_HW is None


def test_pictures_are_scaled_as_asked_and_the_files_say_how(stage: Stage) -> None:
    stage.add("a.png")
    Image.effect_noise((300, 200), 80).convert("RGB").save(stage.pics / "a.png")
    stage.run()
    ours = stage.latents("a")
    stage.run(resize_interpolation="nearest", skip_existing=True)
    assert "1 made again: they were scaled in another way" in stage.said
    assert not np.array_equal(stage.latents("a"), ours)
    with np.load(stage.pics / "a.npz") as file:
        assert file["resize_interpolation"] == "nearest"
    stage.run(resize_interpolation="linear", skip_existing=True)
    stage.run(resize_interpolation="bilinear", skip_existing=True)
    assert "0 made, 1 kept" in stage.said


def test_large_jpegs_may_be_decoded_smaller_and_exact_latents_serve_as_well(stage: Stage) -> None:
    stage.add("a.jpg", "b.png")
    for name in ("a.jpg", "b.png"):
        Image.effect_noise((400, 300), 80).convert("RGB").save(stage.pics / name)
    stage.run()
    exact = stage.latents("a")
    stage.run(fast_decode=True, skip_existing=True)
    assert "0 made, 2 kept" in stage.said
    stage.run(fast_decode=True)
    assert not np.array_equal(stage.latents("a"), exact)
    assert (
        read_latents(stage.pics / "a.npz").made_from.reduced
        and not read_latents(stage.pics / "b.npz").made_from.reduced
    )
    stage.run(skip_existing=True)
    assert "1 made, 1 kept" in stage.said and "1 made again: they were decoded at a reduced scale" in stage.said
    assert np.array_equal(stage.latents("a"), exact)


def test_alpha_masks(stage: Stage) -> None:
    stage.add("opaque.png")
    write_pictures(stage.pics, {"half_transparent.png": ODD["half_transparent.png"]})
    stage.entries["half_transparent"] = {"tags": "x"}
    stage.run(alpha_mask="true", flip_aug=True)
    mask_HW = read_latents(stage.pics / "half_transparent.npz").alpha_mask_HW
    assert mask_HW.shape == (64, 64) and mask_HW[0, 0] < 0.05 and mask_HW[-1, 0] > 0.95
    assert (read_latents(stage.pics / "opaque.npz").alpha_mask_HW == 1).all()
    assert read_latents(stage.pics / "half_transparent_flip.npz").alpha_mask_HW.shape == (64, 64)
    mirrored_HW = read_latents(stage.pics / "half_transparent_flip.npz").alpha_mask_HW
    assert np.array_equal(mask_HW[:, ::-1], mirrored_HW)
    with pytest.raises(BadOption, match='--alpha_mask "maybe" is neither yes nor no'):
        stage.run(alpha_mask="maybe")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_other_precisions_stay_near_and_are_honest(stage: Stage, precision: str) -> None:
    stage.add("a.png")
    stage.run()
    exact = stage.latents("a")
    stage.run(mixed_precision=precision)
    assert np.abs(stage.latents("a") - exact).mean() < 0.05
    made = read_latents(stage.pics / "a.npz").made_from
    if precision == "fp16" and not torch.cuda.is_available():
        assert made.precision == "no" and "fp16 needs a GPU" in stage.said
        assert np.array_equal(stage.latents("a"), exact)
    else:
        assert made.precision == precision and not np.array_equal(stage.latents("a"), exact)


def test_small_pictures_without_upscale(stage: Stage) -> None:
    stage.add("small.png", size=(31, 90))
    stage.add("middle.png", size=(70, 50))
    stage.entries["small"]["train_resolution"] = [64, 64]
    out = stage.run(bucket_no_upscale=True)
    assert out["middle"]["train_resolution"] == [64, 32]
    assert "train_resolution" not in out["small"]
    assert stage.failures["small.png"].startswith("a side is shorter than one bucket step (32 px)")
    made = read_latents(stage.pics / "middle.npz").made_from
    assert made.fit.resized_px == (70, 50) and made.fit.crop_ltrb == (3, 9, 67, 41)


def test_two_folders_are_chained_by_full_paths(stage: Stage, tmp_path: Path) -> None:
    write_named(tmp_path / "one" / "below", ("a.png",))
    write_named(tmp_path / "two", ("a.png", "b.png"))
    entries = {str(tmp_path / p): {"tags": p} for p in ("one/below/a.png", "two/a.png", "two/gone.png")}
    (tmp_path / "in.json").write_text(json.dumps(entries))
    stage.pics = tmp_path / "one"
    first = stage.run(full_path=True, recursive=True, out_json=str(tmp_path / "1.json"))
    stage.pics = tmp_path / "two"
    both = stage.run(full_path=True, in_json=str(tmp_path / "1.json"), out_json=str(tmp_path / "1.json"))
    assert [("train_resolution" in entry) for entry in first.values()] == [True, False, False]
    assert [("train_resolution" in entry) for entry in both.values()] == [True, True, False]
    assert list(both) == list(entries)
    assert stage.events[-1].counts == {"made": 1, "kept": 0, "not_in_metadata": 1, "without_picture": 1}


def test_a_stop_keeps_what_is_done_and_a_later_run_goes_on(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add(*(f"{n}.png" for n in range(6)))
    put = LateWriting.put

    def put_and_wait(writing: LateWriting[Any], work: Work[Any]) -> None:
        put(writing, work)
        writing.settle()

    # Else the last picture may have been read before the first file is there.
    monkeypatch.setattr(LateWriting, "put", put_and_wait)

    class StopAfter(Requests):
        """Asks for a stop once two latents files are there."""

        def take(self) -> list[Any]:
            if len(list(stage.pics.glob("*.npz"))) >= 2:
                (tmp_path / "control").write_text(request_line("stop"))
            return super().take()

    assert stage.run(StopAfter(tmp_path / "control"), batch_size=2) == {}
    assert isinstance(stage.events[-1], Stopped)
    made = len(list(stage.pics.glob("*.npz")))
    assert 2 <= made < 6 and f"Stopped: {made} pictures" in stage.said
    assert not [p for p in stage.pics.iterdir() if p.suffix not in (".npz", ".png") and p.name != INDEX]
    assert len(stage.run(skip_existing=True)) == 6
    assert f"{6 - made} made, {made} kept" in stage.said


def test_nothing_usable_writes_nothing(stage: Stage, tmp_path: Path) -> None:
    write_pictures(stage.pics, {"text.png": BROKEN["text.png"]})
    stage.entries["text"] = {"tags": "x"}
    with pytest.raises(
        NothingUsable, match="None of the 1 pictures .* could be used. The first one, .*text.png: it is not"
    ):
        stage.run()
    assert not (tmp_path / "out" / "lat.json").exists()


@pytest.mark.parametrize(
    ("values", "option", "sentence"),
    [
        ({"max_resolution": "100,100"}, "max_resolution", "no multiple of the bucket step 32. Use 96 or 128"),
        ({"recursive": True}, "recursive", "--recursive needs --full_path"),
        ({"full_path": True}, "full_path", "Leave out --full_path"),
        ({"in_json": "nowhere.json"}, "in_json", "there is no such file"),
        ({"train_data_dir": "nowhere"}, "train_data_dir", "there is no folder of that name"),
        ({"out_json": "."}, "out_json", "is a folder. Name a file"),
    ],
)
def test_what_cannot_be_is_said_before_work_starts(
    stage: Stage, values: dict[str, object], option: str, sentence: str
) -> None:
    stage.add("a.png")
    with pytest.raises(BadOption, match=sentence) as caught:
        stage.run(**values)
    assert caught.value.option == option
    assert not stage.events


def test_metadata_of_other_pictures_is_said(stage: Stage, tmp_path: Path) -> None:
    stage.add("a.png")
    for entries, sentence in (
        ({}, "has no entries"),
        ({"z": {"tags": "x"}}, '"z" and the like, not "a". Name the metadata file that was made of this folder'),
        ({str(stage.pics / "a.png"): {"tags": "x"}}, "Add --full_path"),
    ):
        (tmp_path / "in.json").write_text(json.dumps(entries))
        with pytest.raises(BadOption, match=sentence):
            stage.run()


def test_an_unwritable_output_is_said_before_work_starts(stage: Stage, tmp_path: Path) -> None:
    stage.add("a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="Cannot write .*lat.json: "):
        stage.run(out_json=str(tmp_path / "file" / "lat.json"))
    assert not stage.events


def test_all_bad_names_and_odd_pictures_in_one_folder(stage: Stage) -> None:
    stage.add(*NAMES)
    write_pictures(stage.pics, ODD)
    stage.entries |= {Path(name).stem: {"tags": "x"} for name in ODD}
    out = stage.run(batch_size=4)
    assert all("train_resolution" in entry for entry in out.values())
    assert len(list(stage.pics.glob("*.npz"))) == len(NAMES) + len(ODD)


def test_lines_may_name_pictures_with_their_ending(stage: Stage) -> None:
    stage.add("a.png", "b.png")
    rows = [{"image_path": "a.png", "tags": "x"}, {"image_path": "b", "tags": "y"}]
    lines = stage.folder / "in.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    out = stage.run(in_json=str(lines))
    size = {"train_resolution": [64, 64]}
    assert out == {"a.png": {"tags": "x"} | size, "b": {"tags": "y"} | size}
    given = {"train_data_dir": str(stage.pics), "in_json": str(stage.folder / "out" / "lat.json")}
    assert read_data(from_values(FineTuneOptions, given), Report(out=io.StringIO())).uncached() == []
