"""The cleaning rules against formats worked out by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.tagging.cleaning import DEFAULT_RULES, clean_caption, clean_tags, read_rules

RULES = read_rules()
WORDS = ["young", "anime", "cartoon", "lady", "woman", "women", "people", "girl", "a", "an", "image"]
SCRIPT = Path(__file__).parents[2] / "sd_scripts" / "finetune" / "clean_captions_and_tags.py"

TAGS = {
    "1girl, long_hair, ^_^, >_<, o_o": "1girl, long hair, ^_^, >_<, o_o",
    # A rating goes wherever it stands, and takes nothing with it.
    "rating:safe, 1girl, smile": "1girl, smile",
    "1girl, rating:safe, smile": "1girl, smile",
    # One person keeps everything.
    "1girl, long_hair, short_hair, blue_eyes, red_eyes": "1girl, long hair, short hair, blue eyes, red eyes",
    # Several people: a group with two or more members goes, one with a single member stays.
    "2girls, blue_eyes, red_eyes, long_sleeves": "2girls, long sleeves",
    "2girls, blue_eyes, smile": "2girls, blue eyes, smile",
    "multiple_boys, long_sleeves, sleeveless": "multiple boys",
    "2girls, ponytail, hair_bun, side_braid": "2girls",
    "2girls, bob_cut, hime_cut": "2girls",
    # A single hair length is not counted among "<word> hair", two are a group of their own.
    "2girls, long_hair, blue_hair": "2girls, long hair, blue hair",
    "2girls, long_hair, blue_hair, red_hair": "2girls, long hair",
    "2girls, long_hair, short_hair, blue_hair": "2girls, blue hair",
    # A word is dropped beside the same word with others before it.
    "shirt, white_shirt": "white shirt",
    "shirt, shirt_lift": "shirt, shirt lift",
    "hair_ornament, red_hair_ornament": "red hair ornament",
    "long_hair, very_long_hair": "long hair, very long hair",
    "cat,dog,, bird ,": "cat, dog, bird",
    "": "",
}

CAPTIONS = {
    "an anime woman": "an girl",
    "cartoon characters on a hill": "girls on a hill",
    "a personal malady": "a personal malady",
    "two young women and a lady": "two girls and a girl",
    "a young girl": "a girl",
    "people with a person": "girls with a girl",
    "anime anime anime girl": "girl",
    "a cartoon figure, a cartoon image": "a figure, an image",
    "an anime cartoon image": "an image",
    "a cartoon anime drawing": "a drawing",
    "cartoon woman girl": "girl",
    "a cat": "a cat",
}


@pytest.mark.parametrize(("before", "after"), TAGS.items())
def test_tags(before: str, after: str) -> None:
    assert clean_tags(before, RULES) == after


@pytest.mark.parametrize(("before", "after"), CAPTIONS.items())
def test_captions(before: str, after: str) -> None:
    assert clean_caption(before, RULES) == after


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_cleaning_a_caption_ends_and_leaves_no_double_space(words: list[str]) -> None:
    once = clean_caption(" ".join(words), RULES)
    assert "  " not in once and "woman" not in once.split() and "young" not in once.split()


@given(st.text(max_size=60))
def test_cleaning_tags_never_fails_and_settles(text: str) -> None:
    once = clean_tags(text, RULES)
    assert clean_tags(once, RULES) == once or "_" in once


def rules_file(tmp_path: Path, replace: str) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(f"version = 1\n[tags]\n[captions]\nreplace = [{replace}]\n", encoding="utf-8")
    return path


def test_a_rule_that_never_ends_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match='the rule "girl" -> "a girl" would never end'):
        read_rules(rules_file(tmp_path, '{ from = ["girl"], to = "a girl" }'))


def test_rules_that_are_no_rules(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[tags\n")
    with pytest.raises(BadFile, match="is no readable TOML"):
        read_rules(broken)
    with pytest.raises(BadFile, match="is no file of cleaning rules"):
        read_rules(rules_file(tmp_path, "{ from = ['x'] }"))
    with pytest.raises(BadOption, match="there is no such file"):
        read_rules(tmp_path / "none.toml")


def run(*argv: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, SCRIPT, *argv]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, encoding="utf-8")


def test_a_file_is_cleaned_and_the_rest_of_it_stays(tmp_path: Path) -> None:
    meta = tmp_path / "in.json"
    meta.write_text(json.dumps({"a": {"caption": "a lady", "tags": "x_y_z", "train_resolution": [512, 512]}, "b": {}}))
    before = meta.read_bytes()
    done = run(meta, tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    assert "Changed 1 captions and 1 tag lists of 2 entries" in done.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "a": {"caption": "a girl", "tags": "x y z", "train_resolution": [512, 512]},
        "b": {},
    }
    assert meta.read_bytes() == before


def test_older_commands_and_own_rules(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"a": {"caption": "a lady"}}')
    own = rules_file(tmp_path, '{ from = ["lady"], to = "queen" }')
    done = run(tmp_path, tmp_path / "in.json", tmp_path / "out.json", "--rules", own)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == {"a": {"caption": "a queen"}}


def test_nothing_to_clean(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"a": {}}')
    done = run(tmp_path / "in.json", tmp_path / "out.json")
    assert done.returncode == 1 and "has no captions and no tags" in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_our_rules_are_a_file_to_copy() -> None:
    assert "Copy this file" in DEFAULT_RULES.read_text(encoding="utf-8")
