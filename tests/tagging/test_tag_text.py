"""The text rules of the WD14 taggers, by hand."""

import numpy as np
import pytest

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.tagging.tag_table import TagTable, read_table
from sd_scripts.library.tagging.tag_text import TagRules, expanded, read_replacements, split_tags, without_underscores
from sd_scripts.options.tagging import Wd14TextOptions, Wd14ThresholdOptions

TAGS = {
    "safe": ("rating", 0.2),
    "risky": ("rating", 0.7),
    "long_hair": ("general", 0.9),
    "^_^": ("general", 0.5),
    "hat": ("general", 0.35),
    "cat": ("general", 0.34),
    "rin_(swimsuit)_(fate)": ("character", 0.8),
    "fate": ("copyright", 0.6),
    "someone": ("artist", 0.6),
    "highres": ("meta", 0.6),
    "sdxl": ("model", 0.6),
    "best_quality": ("quality", 0.01),
    "bad_quality": ("quality", 0.02),
}
TABLE = TagTable(tuple(TAGS), tuple(category for category, _ in TAGS.values()))
SEEN = np.array([confidence for _, confidence in TAGS.values()])
ALL = ["long_hair", "^_^", "hat", "rin_(swimsuit)_(fate)", "fate", "someone", "highres", "sdxl"]


def tags(thresholds=None, **text):
    return TagRules(TABLE, thresholds or Wd14ThresholdOptions(), Wd14TextOptions(**text)).tags(SEEN)


def test_tags_from_the_threshold_on_in_the_order_of_their_categories():
    assert tags() == ALL


@pytest.mark.parametrize(
    ("option", "gone"),
    [
        ("general_threshold", ["long_hair", "^_^", "hat"]),
        ("character_threshold", ["rin_(swimsuit)_(fate)"]),
        ("copyright_threshold", ["fate"]),
        ("artist_threshold", ["someone"]),
        ("meta_threshold", ["highres"]),
        ("model_threshold", ["sdxl"]),
    ],
)
def test_each_category_has_its_threshold(option, gone):
    assert tags(Wd14ThresholdOptions(**{option: 0.95})) == [tag for tag in ALL if tag not in gone]


def test_a_category_of_threshold_zero_is_not_the_default():
    assert "cat" in tags(Wd14ThresholdOptions(general_threshold=0.0))
    assert tags(Wd14ThresholdOptions(thresh=0.85)) == ["long_hair"]


def test_ratings_and_qualities_first_or_last():
    assert tags(use_rating_tags=True, use_quality_tags=True) == ["risky", "bad_quality", *ALL]
    last = tags(use_rating_tags_as_last_tag=True, use_quality_tags_as_last_tag=True)
    assert last == [*ALL, "bad_quality", "risky"]
    assert tags(use_rating_tags=True, use_quality_tags_as_last_tag=True) == ["risky", *ALL, "bad_quality"]


def test_a_rating_that_the_tagger_lacks_is_said():
    with pytest.raises(BadOption, match="--use_rating_tags: this tagger knows no rating tags"):
        TagRules(TagTable(("hat",), ("general",)), Wd14ThresholdOptions(), Wd14TextOptions(use_rating_tags=True))


def test_characters_first():
    assert tags(character_tags_first=True)[:2] == ["rin_(swimsuit)_(fate)", "long_hair"]


def test_underscores_go_but_not_from_emoticons():
    assert tags(remove_underscore=True)[:4] == ["long hair", "^_^", "hat", "rin (swimsuit) (fate)"]
    assert without_underscores("a_bc") == "a bc"


def test_expanded_characters_are_written_once():
    found = tags(character_tag_expand=True)
    assert found == ["long_hair", "^_^", "hat", "rin_(swimsuit)", "fate", "someone", "highres", "sdxl"]
    assert expanded("alice_(wonderland)") == ("alice", "wonderland")
    assert expanded("hatsune_miku") == ("hatsune_miku",)
    assert expanded("(odd)") == ("(odd)",)


@pytest.mark.parametrize("unwanted", ["long_hair, hat", "long hair,hat,"])
def test_undesired_tags_in_either_spelling(unwanted):
    assert tags(undesired_tags=unwanted, remove_underscore=True)[:2] == ["^_^", "rin (swimsuit) (fate)"]


def test_an_undesired_rating_is_not_written():
    assert tags(undesired_tags="risky", use_rating_tags=True) == ALL


def test_always_first_in_the_order_given_before_all_else():
    found = tags(always_first_tags="fate, hat, cat", use_rating_tags=True, character_tags_first=True)
    assert found[:4] == ["fate", "hat", "risky", "rin_(swimsuit)_(fate)"]
    assert sorted(found) == sorted([*ALL, "risky"])


def test_replacements_in_either_spelling_never_twice():
    found = tags(tag_replacement="long_hair,very long hair; hat,^_^;sdxl,a\\,b", remove_underscore=True)
    assert found == ["very long hair", "^_^", "rin (swimsuit) (fate)", "fate", "someone", "highres", "a,b"]


def test_replacements_are_read_with_escapes():
    assert read_replacements("a,b;c\\,d,e\\;f;") == {"a": "b", "c,d": "e;f"}
    assert read_replacements("\\m/,rock") == {"\\m/": "rock"}
    assert read_replacements("") == {}


@pytest.mark.parametrize("wrong", ["a", "a,b,c", "a,b;c", ",b", "a,"])
def test_a_replacement_that_is_no_pair_is_refused(wrong):
    with pytest.raises(BadOption, match="write pairs") as caught:
        read_replacements(wrong)
    assert caught.value.option == "tag_replacement"


def test_tags_are_split_at_their_separator():
    assert split_tags("a,  b b ,,c\nd", ", ") == ["a", "b b", "c", "d"]
    assert split_tags("a  b\tc", " ") == ["a", "b", "c"]


def test_a_csv_table(tmp_path):
    path = tmp_path / "selected_tags.csv"
    path.write_text('tag_id,name,category,count\n1,general,9,5\n2,"a,b",0,4\n3,x,4,3\n4,y,77,1\n')
    table = read_table(path)
    assert table.names == ("general", "a,b", "x", "y")
    assert table.categories == ("rating", "general", "character", "number 77")
    assert table.unknown() == ["number 77"]


@pytest.mark.parametrize(
    "text",
    [
        '{"1": {"tag": "hat", "category": "General"}, "0": {"tag": "some", "category": "Quality"}}',
        '{"idx_to_tag": {"0": "some", "1": "hat"}, "tag_to_category": {"hat": "General", "some": "Quality"}}',
    ],
)
def test_both_json_tables(tmp_path, text):
    path = tmp_path / "tag_mapping.json"
    path.write_text(text)
    assert read_table(path) == TagTable(("some", "hat"), ("quality", "general"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "a,b\n1,2\n"),
        ("t.csv", "tag_id,name,category\n"),
        ("t.json", "[1]"),
        ("t.json", '{"1": 2}'),
        ("t.json", "{"),
    ],
)
def test_what_is_no_table(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadFile, match="tags"):
        read_table(tmp_path / name)
