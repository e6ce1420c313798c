"""--dataset_config: which keys stand where, which level wins, and one sentence for every mistake."""

import io
import json
from pathlib import Path

import pytest

from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.regularisation import balanced_repeats
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable
from sd_scripts.library.report import Report
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values
from tests.data.bad_pictures import write_named

EVERYTHING = """
[general]
shuffle_caption = true
keep_tokens = 1
caption_extension = "txt"
resolution = 64
min_bucket_reso = 64

[[datasets]]
batch_size = 2
keep_tokens = 2
enable_bucket = true
max_bucket_reso = 128

  [[datasets.subsets]]
  image_dir = "pics"
  class_tokens = "sks dog"
  num_repeats = 3

  [[datasets.subsets]]
  image_dir = "reg"
  class_tokens = "dog"
  is_reg = true
  keep_tokens = 0
  shuffle_caption = false

[[datasets]]
resolution = [128, 64]

  [[datasets.subsets]]
  metadata_file = "meta.json"
  image_dir = "pics"
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_named(tmp_path / "pics", ("a.png", "b.png"))
    write_named(tmp_path / "reg", tuple(f"r{n}.png" for n in range(4)))
    (tmp_path / "pics" / "a.txt").write_text("a sitting dog\nsecond line")
    (tmp_path / "meta.json").write_text(
        json.dumps({"a": {"caption": "x", "train_resolution": [256, 256]}, "b": {"tags": "y"}})
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(text: str | None, name: str = "data.toml", **values: object) -> FineTuneOptions:
    if text is not None:
        Path(name).write_text(text, encoding="utf-8")
        values["dataset_config"] = name
    return from_values(FineTuneOptions, values)


def read(text: str | None, name: str = "data.toml", **values: object) -> tuple[PictureData, str]:
    out = io.StringIO()
    return read_data(options(text, name, **values), Report(out=out)), out.getvalue()


def test_the_nearest_level_wins_then_the_command_line() -> None:
    first, second = asked_datasets(options(EVERYTHING, train_batch_size=5, dataset_repeats=7, caption_separator=";"))
    assert (first.batch_size, second.batch_size) == (2, 5)
    assert [subset.repeats for subset in first.subsets + second.subsets] == [3, 7, 7]
    assert [subset.captions.keep_parts for subset in first.subsets + second.subsets] == [2, 0, 1]
    assert [subset.captions.shuffle for subset in first.subsets + second.subsets] == [True, False, True]
    assert {subset.captions.separator for subset in first.subsets + second.subsets} == {";"}
    assert {subset.caption_extension for subset in first.subsets} == {".txt"}
    assert first.rules.resolution_px == (64, 64) and not first.rules.one_size and first.rules.max_px == 128
    assert second.rules.resolution_px == (128, 64) and second.rules.one_size


def test_json_says_the_same_as_toml() -> None:
    import tomllib

    toml = asked_datasets(options(EVERYTHING))
    found = asked_datasets(options(json.dumps(tomllib.loads(EVERYTHING)), "data.json"))
    places = [[subset.where.replace("data.json", "data.toml") for subset in one.subsets] for one in found]
    assert places == [[subset.where for subset in one.subsets] for one in toml]
    assert [(one.rules, one.batch_size) for one in found] == [(one.rules, one.batch_size) for one in toml]


def test_the_command_line_is_a_file_with_one_entry() -> None:
    file = '[[datasets]]\n[[datasets.subsets]]\nmetadata_file = "meta.json"\nimage_dir = "pics"\n'
    common = {"resolution": "64", "enable_bucket": True, "min_bucket_reso": 64, "dataset_repeats": 2, "seed": 1}
    one, _ = read(None, in_json="meta.json", train_data_dir="pics", **common)
    other, _ = read(file, **common)
    assert one.images == other.images and one.plan(3, 5, 2) == other.plan(3, 5, 2)
    assert one.images[0].bucket_px == (256, 256)


def test_batches_never_mix_datasets_and_have_their_own_sizes() -> None:
    data, said = read(EVERYTHING)
    assert [image.bucket_px for image in data.images] == [(64, 64)] * 6 + [(128, 64)] * 2
    plan = data.plan(0, 1)
    datasets = [{data.pictures[item.image].dataset for item in batch} for batch in plan]
    assert all(len(found) == 1 for found in datasets)
    # 2 pictures three times, 4 regularisation pictures to match them: 12 showings by two; 2 by one.
    assert sorted(len(batch) for batch in plan) == [1, 1] + [2] * 6
    assert sorted(len(batch) for batch in data.plan(0, 1, processes=2)) == [2] + [4] * 3
    assert '1 of 2 pictures have a .txt file; 1 without one are called "sks dog" (class_tokens)' in said
    assert "6 showings of training pictures, 6 of regularisation pictures" in said
    captions = [data.caption(Item(n, 0), Moment()) for n in range(8)]
    assert captions == ["a sitting dog", "sks dog", *["dog"] * 4, "x", "y"]


def test_a_named_resolution_wins_over_prepared_sizes() -> None:
    data, _ = read(EVERYTHING)
    assert data.images[6].bucket_px == (128, 64)
    data, _ = read(EVERYTHING.replace("resolution = [128, 64]", "").replace("resolution = 64", ""), resolution="64")
    assert data.images[6].bucket_px == (256, 256) and data.images[7].bucket_px == (64, 64)


@pytest.mark.parametrize(
    ("repeats", "wanted", "shown"),
    [
        ([1, 1, 1, 1], 6, [2, 2, 1, 1]),
        ([2, 2], 6, [3, 3]),
        ([1, 1, 1], 2, [1, 1, 0]),
        ([3], 2, [3]),
        ([1], 0, [0]),
        ([], 5, []),
    ],
)
def test_regularisation_pictures_match_the_training_showings(repeats: list[int], wanted: int, shown: list[int]) -> None:
    assert balanced_repeats(repeats, wanted) == shown


def test_too_many_regularisation_pictures_are_said() -> None:
    data, said = read(EVERYTHING.replace("num_repeats = 3", "num_repeats = 1"))
    assert "2 of those 4 are too many and are not shown" in said
    assert len(data.images) == 6


def test_options_that_do_not_count_are_named() -> None:
    _, said = read(EVERYTHING, in_json="meta.json", train_data_dir="pics")
    assert "--in_json and --train_data_dir: not used, since --dataset_config names the pictures" in said


SUBSET = '[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "pics"\nclass_tokens = "x"\n'
MISTAKES = {
    "[[datasets": "is no TOML that can be read: Expected",
    "x = 1": r"data.toml: there is no key x. Known here: datasets, general",
    "[[dataset]]": "there is no key dataset. Did you mean datasets",
    "": r"there is no \[\[datasets\]\]",
    "[datasets]\nresolution = 1": r"datasets must be a list of tables. Write \[\[datasets\]\]",
    "[[datasets]]\nresolution = 64": r"dataset 1: there is no \[\[datasets.subsets\]\]. Write one for each subset",
    SUBSET + "shufle_caption = true": "subset 1: there is no key shufle_caption. Did you mean shuffle_caption",
    SUBSET + "batch_size = 2": r"batch_size cannot stand here. Write it in \[general\] or \[\[datasets\]\]",
    '[general]\nimage_dir = "x"\n' + SUBSET: r"image_dir cannot stand here. Write it in \[\[datasets.subsets\]\]",
    "[general]\ncache_latents = true\n" + SUBSET: "cache_latents holds for the whole run. Write --cache_latents on the",
    "[general]\ndebug_dataset = true\n" + SUBSET: "debug_dataset holds for the whole run",
    "[general]\ntrain_batch_size = 2\n" + SUBSET: "there is no key train_batch_size. Did you mean batch_size",
    SUBSET + 'shuffle_caption = "yes"': 'shuffle_caption must be true or false, not "yes"',
    SUBSET + "num_repeats = 1.5": "num_repeats must be a whole number, not 1.5",
    SUBSET + "num_repeats = 0": "num_repeats 0: Must be 1 or more",
    SUBSET + "keep_tokens = true": "keep_tokens must be a whole number, not true",
    SUBSET + "caption_separator = 1": "caption_separator must be text in quotes, not 1",
    SUBSET + 'caption_separator = ""': "caption_separator must not be empty",
    SUBSET + 'caption_extension = ".png"': "cannot be the ending of a text file",
    SUBSET.replace("64", '"64"'): r"resolution must be one whole number or \[width, height\], not \"64\"",
    SUBSET.replace("64", "[64]"): r"resolution must be one whole number or \[width, height\], not \[64\]",
    SUBSET.replace("64", "64\nenable_bucket = true\nbucket_reso_steps = 20"): "dataset 1: bucket_reso_steps 20 is no",
    SUBSET + "is_reg = true": "dataset 1: it has regularisation pictures .is_reg. only",
    SUBSET + 'network_multiplier = "high"': "network_multiplier must be a number",
    SUBSET + "validation_split = 0.1": "validation_split cannot stand here. Write it in \\[general\\]",
    SUBSET + 'metadata_file = "meta.json"': "class_tokens is for folders of pictures, and this subset has a",
    SUBSET + '[[datasets.subsets]]\nmetadata_file = "meta.json"': "its subsets are of two kinds",
    '[[datasets]]\nclass_tokens = "x"\n[[datasets.subsets]]\nmetadata_file = "meta.json"': (
        "dataset 1: class_tokens is for folders of pictures, and its subsets have metadata files"
    ),
    SUBSET.replace('image_dir = "pics"', ""): "dataset 1, subset 1: it names no pictures",
    SUBSET.replace("pics", "gone"): "subset 1: image_dir gone: there is no folder of that name",
    SUBSET.replace("pics", "empty"): "subset 1: image_dir empty: no pictures here",
    SUBSET.replace("resolution = 64", ""): "resolution is needed, such as 512",
    SUBSET.replace('class_tokens = "x"', ""): "No data found: pics has 2 pictures, of which 2 have neither",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: MISTAKES[text][:40])
def test_mistakes_are_one_sentence_with_their_place(text: str) -> None:
    Path("empty").mkdir()
    with pytest.raises((BadOption, BadFile, NothingUsable), match=MISTAKES[text]) as caught:
        read(text)
    assert "data.toml" in str(caught.value) and "--image_dir" not in str(caught.value)
    assert getattr(caught.value, "option", "dataset_config") == "dataset_config"


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(BadOption, match="there is no such file. Name a .toml or .json file"):
        asked_datasets(options(None, dataset_config="gone.toml"))


def test_caption_files_of_another_ending_are_pointed_at() -> None:
    _, said = read(SUBSET)
    assert '0 of 2 pictures have a .caption file; 2 without one are called "x"' in said
    assert 'There are .txt files, which are not read. Write caption_extension = ".txt"' in said
    _, said = read(SUBSET, caption_extension=".txt")
    assert "1 of 2 pictures have a .txt file" in said


@pytest.mark.parametrize("given", [{"cache_info": True}, {"caption_extension": ".txt"}])
def test_options_of_folders_are_not_for_in_json(given: dict[str, object]) -> None:
    with pytest.raises(BadOption, match="is for folders of pictures that no metadata file describes"):
        asked_datasets(options(None, in_json="meta.json", **given))


def test_sizes_and_captions_are_kept_in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    from sd_scripts.library.data import known_files

    # Else the pictures, which are just written, would be opened again.
    monkeypatch.setattr(known_files, "UNSETTLED_NS", -(10**12))
    opened: list[str] = []
    size = known_files.image_size
    monkeypatch.setattr(known_files, "image_size", lambda path: (opened.append(path.name), size(path))[1])
    text = SUBSET + 'cache_info = true\ncaption_extension = ".txt"\n'
    data, said = read(text)
    assert opened == ["a.png", "b.png"] and "0 of 2 pictures were known" in said
    again, said = read(text)
    assert opened == ["a.png", "b.png"] and "2 of 2 pictures were known and not opened" in said
    assert again.images == data.images
    # A new caption, another picture: both are noticed.
    Path("pics/a.txt").write_text("a new caption")
    write_named(Path("pics"), ("c.png",))
    data, said = read(text)
    assert opened[2:] == ["a.png", "c.png"] and data.images[0].text == "a new caption"
    # What another program wrote, or a broken file, is not trusted.
    entries = json.loads(Path("pics/metadata_cache.json").read_text())
    assert entries[str(Path("pics/a.png").absolute())]["resolution"] == [96, 64]
    for broken in (json.dumps({key: {"caption": "old"} for key in entries}), "[]", "{"):
        Path("pics/metadata_cache.json").write_text(broken)
        assert read(text)[0].images == data.images
