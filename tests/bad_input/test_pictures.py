"""Every stage that looks at pictures, over one folder of bad ones: what can be read is used, the rest is listed."""

import json
import re
from pathlib import Path

import pytest

from tests.bad_input.runs import BROKEN_ALONE, GOOD, contents, run

DESCRIBERS = {
    "finetune/make_captions.py": ("--caption_weights=blip", "--beam_search", "--max_length=8"),
    "finetune/make_captions_by_git.py": ("--model_id=git", "--max_length=4"),
    "finetune/tag_images_by_wd14_tagger.py": ("--repo_id=wd14", "--thresh=0.1"),
    "finetune/tag_images_by_deepdanbooru.py": ("--project_path=deepdanbooru", "--threshold=0.1"),
}
REASONS = {
    "truncated_jpg.jpg": "truncated",
    "truncated_png.png": "truncated",
    "truncated_webp.webp": "broken",
    "truncated_jxl.jxl": "",
    "text_png.png": "not a picture",
    "empty_jpg.jpg": "empty",
}


def check_listed(said: str, events: list[dict]) -> None:
    """Each broken picture stands in the list and in the events once, with its reason; no other does."""
    for name, reason in REASONS.items():
        assert re.search(rf"left out: .*{re.escape(Path(name).stem)}.*: .*{reason}", said), (name, said)
    failed = [Path(event["item"]).stem for event in events if event["event"] == "item_failed"]
    assert sorted(failed) == sorted(Path(name).stem for name in BROKEN_ALONE)
    summary = next(event for event in events if event["event"] == "summary")
    assert summary["counts"]["skipped"] == len(BROKEN_ALONE)


def check_kept(project: Path, before: dict[str, bytes]) -> None:
    """The files that were there are the same to the byte, and nothing half-written lies about."""
    after = contents(project)
    assert {name: after.get(name) for name in before} == before
    assert not [name for name in after if ".part" in name]
    assert not (project / "x").exists()


@pytest.mark.parametrize("script", DESCRIBERS)
def test_captioners_and_taggers(script: str, project: Path, models: Path) -> None:
    option, _, model = DESCRIBERS[script][0].partition("=")
    before = contents(project)
    more = ("--batch_size=8", "--caption_extension=.words", "--max_data_loader_n_workers=0")
    done = run(script, "my $(pics)", f"{option}={models / model}", *DESCRIBERS[script][1:], *more, cwd=project)
    assert done.code == 0, done.said
    assert "Traceback" not in done.said
    check_listed(done.said, done.events)
    check_kept(project, before)
    pics = project / "my $(pics)"
    assert sorted(path.stem for path in pics.glob("*.words")) == sorted(Path(name).stem for name in GOOD)
    # The same picture, turned by its EXIF data, saved under a false ending, or with a name to stumble over.
    alike = {(pics / f"{stem}.words").read_text(encoding="utf-8") for stem in ("猫の写真", "$(touch x) `y`", "bitmap")}
    assert len(alike) == 1


FINE_TUNE = (
    *("--in_json=in.json", "--output_dir=out", "--output_name=new", "--train_data_dir=my $(pics)", "--seed=1"),
    *("--resolution=64", "--enable_bucket", "--min_bucket_reso=32", "--max_bucket_reso=128", "--bucket_reso_steps=32"),
    *("--train_batch_size=4", "--max_data_loader_n_workers=1", "--max_train_epochs=1"),
)


@pytest.mark.parametrize("cached", [False, True], ids=["vae_in_the_loop", "cache_latents"])
def test_training_from_pictures(cached: bool, project: Path, models: Path) -> None:
    before = contents(project)
    more = ("--cache_latents", "--vae_batch_size=4") if cached else ()
    base = f"--pretrained_model_name_or_path={models / 'sd1.safetensors'}"
    done = run("fine_tune.py", base, *FINE_TUNE, *more, cwd=project)
    assert done.code == 0, done.said
    assert "Traceback" not in done.said
    check_listed(done.said, done.events)
    check_kept(project, before)
    losses = [event["values"]["loss"] for event in done.events if event["event"] == "metric"]
    assert losses and all(0 < loss < 10 for loss in losses)
    assert [path.name for path in (project / "out").iterdir()] == ["new.safetensors"]


def test_showing_what_would_be_trained(project: Path) -> None:
    before = contents(project)
    done = run("fine_tune.py", *FINE_TUNE, "--debug_dataset", cwd=project)
    assert done.code == 0, done.said
    assert "Traceback" not in done.said
    check_kept(project, before)
    # The header of two truncated ones can be read: they are found out when they are shown, or trained.
    assert done.events[-1]["counts"]["pictures"] == len(GOOD) + 2
    assert "left out: my $(pics)/text_png.png: it is not a picture" in done.said
    assert not (project / "out").exists()


def test_nothing_usable_ends_with_one_and_writes_nothing(project: Path, models: Path) -> None:
    (project / "bad").mkdir()
    for name in ("text_png.png", "empty_jpg.jpg", "truncated_jpg.jpg"):
        (project / "bad" / name).write_bytes(BROKEN_ALONE[name]())
    before = contents(project)
    base = f"--pretrained_model_name_or_path={models / 'sd1.safetensors'}"
    (project / "bad.json").write_text(json.dumps({"truncated_jpg": {"tags": "x"}, "text_png": {"tags": "x"}}))
    for script, argv, sentence in (
        ("finetune/tag_images_by_deepdanbooru.py", (f"--project_path={models / 'deepdanbooru'}", "bad"), "None of the"),
        (
            "fine_tune.py",
            (*FINE_TUNE, base, "--in_json=bad.json", "--train_data_dir=bad"),
            "Not one picture of this epoch could be used",
        ),
        (
            "fine_tune.py",
            (*FINE_TUNE, base, "--in_json=bad.json", "--train_data_dir=bad", "--cache_latents"),
            "Not one",
        ),
        ("finetune/merge_captions_to_metadata.py", ("bad", "new.json"), "None of the 3 pictures"),
    ):
        done = run(script, *argv, cwd=project)
        assert done.code == 1, (script, done.said)
        assert done.last.startswith(f"Error: {sentence}"), done.said
        assert "Traceback" not in done.said
    (project / "bad.json").unlink()
    assert {name for name in contents(project) if name not in before} == set()
    check_kept(project, before)
