"""The four scripts, run as a user runs them, on awkward pictures and with bad input."""

import json
import re

import pytest

GOOD = [
    "UPPER.PNG",
    "cmyk.jpg",
    "emoji 😀 日本.png",
    "palette.png",
    "palette_on_white.png",
    "plain.png",
    "quote'$(x)`.png",
    "turned.png",
]
ALIKE = [("palette", "palette_on_white"), ("plain", "turned"), ("plain", "quote'$(x)`"), ("plain", "emoji 😀 日本")]
CASES = {
    "blip": ("make_captions.py", ".caption", ["--caption_weights", "{blip}", "--beam_search", "--max_length", "12"]),
    "git": ("make_captions_by_git.py", ".caption", ["--model_id", "{git}", "--max_length", "8", "--batch_size", "3"]),
    "wd14": (
        "tag_images_by_wd14_tagger.py",
        ".txt",
        ["--repo_id", "{wd14_mapping}", "--batch_size", "4", "--frequency_tags", "--max_data_loader_n_workers", "2"],
    ),
    "deepdanbooru": (
        "tag_images_by_deepdanbooru.py",
        ".txt",
        ["--project_path", "{deepdanbooru}", "--threshold", "0.3", "--batch_size", "8"],
    ),
}


def filled(arguments, models):
    return [str(models(word[1:-1])) if word.startswith("{") else word for word in arguments]


@pytest.mark.parametrize("case", CASES)
def test_every_good_picture_gets_its_text_and_the_others_are_listed(case, models, pictures, run_script, tmp_path):
    script, ending, arguments = CASES[case]
    (pictures / f"blocked{ending}").mkdir()
    before = {path: path.read_bytes() for path in pictures.iterdir() if path.is_file()}
    events = tmp_path / "events.jsonl"
    done = run_script(script, pictures, *filled(arguments, models), "--debug", SD_SCRIPTS_EVENTS=str(events))
    assert done.returncode == 0, done.stderr
    texts = {path.stem: path.read_text(encoding="utf-8") for path in pictures.glob(f"*{ending}") if path.is_file()}
    assert sorted(texts) == sorted(name.rpartition(".")[0] for name in GOOD)
    assert all(text.endswith("\n") and text.strip() for text in texts.values())
    for one, other in ALIKE:
        assert texts[one] == texts[other], (one, other)
    assert texts["plain"] != texts["palette"]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert f"plain.png: {texts['plain'].strip()}" in done.stderr
    assert "Done: 8 of 12 pictures described." in done.stderr
    for name, reason in {"truncated.jpg": "truncated", "text.png": "not a picture", "empty.webp": "empty"}.items():
        assert re.search(f"left out: .*{name}: .*{reason}", done.stderr)
    assert "blocked.png: Cannot write" in done.stderr
    rows = [json.loads(line) for line in events.read_text().splitlines()]
    assert rows[-1]["counts"] == {"skipped": 4, "described": 8, "total": 12}
    assert sum(row["event"] == "item_failed" for row in rows) == 4
    assert not [path for path in pictures.iterdir() if ".part" in path.name]


def test_deepdanbooru_exports_once_and_both_kinds_of_file_open(models, pictures, run_script):
    project = models("deepdanbooru_h5")
    first = run_script("tag_images_by_deepdanbooru.py", pictures, "--project_path", project)
    assert "Preparing model-tiny_resnet.h5, once" in first.stderr
    exported = list(project.glob("model-tiny_resnet-*.onnx"))
    assert len(exported) == 1
    text = (pictures / "plain.txt").read_text()
    assert ", " in text
    named = ("--model_path", project / "model-tiny_resnet.h5", "--tags_path", project / "tags.txt")
    second = run_script("tag_images_by_deepdanbooru.py", pictures, *named)
    assert second.returncode == 0
    assert "Preparing" not in second.stderr
    assert (pictures / "plain.txt").read_text() == text


def test_wd14_writes_one_file_and_adds_to_it(models, pictures, run_script, tmp_path):
    arguments = ("tag_images_by_wd14_tagger.py", pictures, "--repo_id", models("wd14"), "--caption_separator", " ")
    out = tmp_path / "new folder" / "tags.json"
    assert run_script(*arguments, "--output_path", out).returncode == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert sorted(found) == sorted(str(pictures / name) for name in [*GOOD, "blocked.png"])
    entry = found[str(pictures / "turned.png")]
    assert entry["image_size"] == [70, 50]
    assert len(entry["tags"].split(" ")) > 1
    assert not list(pictures.glob("*.txt"))
    found[str(pictures / "plain.png")] |= {"tags": f"mine {entry['tags']}", "caption": "kept"}
    found["elsewhere"] = {"tags": "other"}
    out.write_text(json.dumps(found))
    assert run_script(*arguments, "--output_path", out, "--append_tags").returncode == 0
    again = json.loads(out.read_text(encoding="utf-8"))
    assert again[str(pictures / "plain.png")] == {
        "tags": f"mine {entry['tags']}",
        "caption": "kept",
        "image_size": [70, 50],
    }
    assert again["elsewhere"] == {"tags": "other"}
    lines = tmp_path / "tags.jsonl"
    assert run_script(*arguments, "--output_path", lines).returncode == 0
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert {"image_path": str(pictures / "turned.png"), "caption": entry["tags"], "image_size": [70, 50]} in rows


def test_wd14_adds_to_texts_once_and_leaves_unreadable_ones(models, pictures, run_script):
    (pictures / "plain.txt").write_text("my tag,hat\n")
    (pictures / "cmyk.txt").write_bytes(b"\x81\xff\xfe\x00\xff")
    arguments = ("--repo_id", models("wd14"), "--append_tags", "--thresh", "0.1")
    for _ in range(2):
        done = run_script("tag_images_by_wd14_tagger.py", pictures, *arguments)
        assert "cmyk.jpg: it is text in no known encoding" in done.stderr
    tags = (pictures / "plain.txt").read_text().strip().split(", ")
    assert tags[:2] == ["my tag", "hat"]
    assert len(tags) == len(set(tags)) > 3
    assert (pictures / "cmyk.txt").read_bytes() == b"\x81\xff\xfe\x00\xff"


def test_folders_below_are_taken_when_asked_for(models, pictures, run_script):
    below = pictures / "a" / "b"
    below.mkdir(parents=True)
    (pictures / "plain.png").rename(below / "plain.png")
    run_script("tag_images_by_wd14_tagger.py", pictures, "--repo_id", models("wd14"))
    assert not (below / "plain.txt").exists()
    run_script("tag_images_by_wd14_tagger.py", pictures, "--repo_id", models("wd14"), "--recursive")
    assert (below / "plain.txt").exists()


def test_nothing_usable_ends_with_one(models, tmp_path, run_script):
    (tmp_path / "a.png").write_text("text")
    done = run_script("tag_images_by_wd14_tagger.py", tmp_path, "--repo_id", models("wd14"))
    assert done.returncode == 1
    assert "None of the 1 pictures could be described" in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("make_captions.py", ["--caption_weights", "x/y"], "x/y is not on this machine, and the hub cannot be reached"),
        ("make_captions.py", ["--caption_weights", "/nowhere/at/all"], "there is no such folder"),
        ("make_captions.py", ["--caption_weights", "https://a.b/c.pth"], "this is an address"),
        ("make_captions.py", ["--caption_weights", "{git}"], "this is a git model, and blip is needed"),
        ("make_captions_by_git.py", ["--model_id", "{wd14}"], "no model in it"),
        ("tag_images_by_wd14_tagger.py", ["--repo_id", "{git}"], "holds no tagger"),
        ("tag_images_by_wd14_tagger.py", ["--repo_id", "a b"], "no such folder, and no hub id"),
        ("tag_images_by_wd14_tagger.py", ["--repo_id", "{wd14}", "--tag_replacement", "a;b"], "write pairs"),
        (
            "tag_images_by_wd14_tagger.py",
            ["--repo_id", "{wd14}", "--output_path", "t.txt"],
            "must end in .json or .jsonl",
        ),
        ("tag_images_by_wd14_tagger.py", ["--repo_id", "{wd14}", "--use_quality_tags"], "knows no quality tags"),
        (
            "tag_images_by_wd14_tagger.py",
            ["--repo_id", "{wd14}", "--caption_extension", ".png"],
            "cannot be the ending",
        ),
        ("tag_images_by_deepdanbooru.py", [], "--project_path is needed"),
        ("tag_images_by_deepdanbooru.py", ["--project_path", "{wd14}"], "is no DeepDanbooru project"),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(script, arguments, sentence, models, pictures, run_script):
    done = run_script(script, pictures, *filled(arguments, models))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*pictures.glob("*.txt"), *pictures.glob("*.caption")]


@pytest.mark.parametrize("script", [case[0] for case in CASES.values()])
def test_a_missing_folder_is_said(script, run_script, tmp_path, models):
    project = ["--project_path", models("deepdanbooru")] if "deepdanbooru" in script else []
    done = run_script(script, tmp_path / "gone", *project)
    assert done.returncode == 2
    assert "there is no folder of that name" in done.stderr
