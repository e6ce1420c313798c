"""Every subset of a --dataset_config has its own rules of captions, under the options' names."""

import io
from pathlib import Path

import pytest

from sd_scripts.library.data.caption_rules import CaptionRules
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values
from tests.data.bad_pictures import write_named

EVERY_OPTION = """
[[datasets]]
[[datasets.subsets]]
image_dir = "pics"
shuffle_caption = true
caption_separator = ";"
keep_tokens = 2
keep_tokens_separator = "|||"
secondary_separator = "+"
enable_wildcard = true
caption_prefix = "p"
caption_suffix = "s"
caption_dropout_rate = 0.1
caption_dropout_every_n_epochs = 3
caption_tag_dropout_rate = 0.2
token_warmup_min = 4
token_warmup_step = 0.5

[[datasets.subsets]]
image_dir = "pics"
"""

LINES = """
[general]
caption_prefix = "all"
[[datasets]]
[[datasets.subsets]]
image_dir = "pics"
enable_wildcard = true
[[datasets.subsets]]
image_dir = "pics"
caption_prefix = "mine"
keep_tokens = 1
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_named(tmp_path / "pics", ("a.png",))
    (tmp_path / "pics" / "a.caption").write_text("one\n{two|three}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def options(text: str, **values: object) -> FineTuneOptions:
    Path("data.toml").write_text(text, encoding="utf-8")
    return from_values(FineTuneOptions, {"dataset_config": "data.toml", "resolution": "64"} | values)


def test_every_option_may_stand_in_a_subset_and_the_command_line_fills_the_rest() -> None:
    (dataset,) = asked_datasets(options(EVERY_OPTION, caption_suffix="end", keep_tokens=7))
    first, second = (subset.captions for subset in dataset.subsets)
    assert first == CaptionRules(";", True, 2, "|||", "+", True, "p", "s", 0.1, 3, 0.2, 4, 0.5)
    assert second == CaptionRules(suffix="end", keep_parts=7)


def test_captions_of_a_folder_follow_the_rules_of_their_subset() -> None:
    out = io.StringIO()
    data = read_data(options(LINES), Report(out=out))
    seen = [{data.caption(Item(image, repeat), Moment()) for repeat in range(50)} for image in range(2)]
    assert seen == [{"all one", "all two", "all three"}, {"mine one"}]
    assert data.captions_change
    assert "pics: keep_tokens changes nothing without shuffle_caption or" in out.getvalue()


def test_a_mistake_names_its_subset() -> None:
    with pytest.raises(BadOption, match='data.toml, dataset 1, subset 1: secondary_separator ";"') as caught:
        asked_datasets(options(EVERY_OPTION.replace('"+"', '";"')))
    assert caught.value.option == "dataset_config"
