"""What is refused and told before a word is learnt, and captions from templates."""

import io
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from kohya_gui.checks import check
from kohya_gui.counted import counted
from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.stages import STAGES
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.templates import templates
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.new_word import NewWord
from sd_scripts.library.report import Report
from sd_scripts.library.train.inversion_rules import check_captions, check_inversion, idle_inversion, name_files
from tests.inversion.tiny import inversion_options

REFUSED = {
    ("token_string", None): "--token_string is needed: a new word for what is learnt, such as my-cat.",
    ("token_string", "my cat"): '--token_string my cat: " " is a sign in captions and prompts. Use letters,',
    ("token_string", "(cat)"): '"(" is a sign in captions and prompts',
    ("token_string", "my-cat\u200b"): "it has a letter that cannot be seen",
    ("token_string", "Cat"): "--token_string Cat: the model has a token of that name already. Choose a word that is",
    ("token_string", "sks"): "--token_string sks: the model has a token of that name already",
    ("token_string", "*"): "--token_string *: the model has a token of that name already",
    ("init_word", " "): "--init_word is empty: name a word that the model knows, or leave it out.",
    ("weights", "none.pt"): "--weights none.pt: there is no such file.",
    ("cache_text_encoder_outputs", True): "--cache_text_encoder_outputs has no place here: what a text encoder makes",
    ("use_object_template", True): "--use_object_template and --use_style_template exclude each other: use one.",
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.items())
def test_what_cannot_be_is_refused(given, sentence, tmp_path):
    option, value = given
    more = {"use_style_template": True} if option == "use_object_template" else {}
    with pytest.raises(BadOption) as caught:
        check_inversion(inversion_options(tmp_path, **more | {option: value}))
    assert sentence in str(caught.value)


def test_what_is_read_is_not_overwritten(tmp_path):
    file = tmp_path / "out" / "X.safetensors"
    file.parent.mkdir()
    save_file({"emb_params": torch.zeros(1, 32)}, file)
    with pytest.raises(BadOption, match="is what this training reads. Choose another name"):
        check_inversion(inversion_options(tmp_path, weights=str(file)))


def test_what_does_nothing_is_told(tmp_path):
    given = inversion_options(tmp_path, weights="a.pt", init_word="cat", learning_rate=2e-6)
    unused, slow = idle_inversion(given)
    assert unused == "--init_word is not used: --weights says what the word begins as."
    assert slow.startswith("--learning_rate 2e-06 is very low for a new word, which hardly")
    assert not list(idle_inversion(inversion_options(tmp_path, optimizer_type="Prodigy", learning_rate=1e-6)))


@pytest.mark.parametrize(("word", "name"), [("<my-cat>", "my-cat"), ("..", None), ("犬a", "犬a")])
def test_files_are_named_after_the_word(word, name, tmp_path):
    for given, expected in ((None, name), ("X", "X")):
        options = inversion_options(tmp_path, token_string=word, output_name=given)
        name_files(options)
        assert options.saving.output_name == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures to learn, of which two captions have the word, and one of regularisation."""
    root = tmp_path_factory.mktemp("pictures")
    for name, caption in (("learnt/1_x/a", "a MY-CAT"), ("learnt/1_x/b", "my-cat, red"), ("learnt/1_x/c", "a street")):
        _write(root / f"{name}.png", caption)
    _write(root / "kept" / "1_cat" / "d.png", "a cat")
    return root


def _write(path, caption):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64)).save(path)
    path.with_suffix(".caption").write_text(caption)


def opened(folder, reg=False, **values):
    out = io.StringIO()
    given = {"train_data_dir": str(folder / "learnt"), "resolution": "64", **values}
    options = inversion_options(folder, **given, **({"reg_data_dir": str(folder / "kept")} if reg else {}))
    report = Report(out=out)
    data = read_data(options, report)
    check_captions(NewWord(options.inversion.token_string or ""), data, report)
    return data, out.getvalue()


def test_captions_without_the_word_are_counted(folder):
    _, said = opened(folder, reg=True)
    assert 'The captions of 1 of 3 pictures lack "my-cat", such as "a street": they teach nothing.' in said
    assert 'Regularisation pictures without "my-cat": 1. They only cost time' in said
    assert "lack" not in opened(folder, caption_prefix="my-cat")[1]
    with pytest.raises(BadOption, match="--token_string my-dog stands in no caption of the 3 pictures: nothing would"):
        opened(folder, token_string="my-dog")


@pytest.mark.parametrize("kind", ["object", "style"])
def test_templates_stand_for_captions(folder, kind):
    option, texts = f"use_{kind}_template", templates()[kind]
    data, said = opened(folder, reg=True, **{option: True})
    told = f'Captions are drawn from {len(texts)} templates, such as "{texts[0].replace("{}", "my-cat")}".'
    assert told in said and "lack" not in said
    moments = [Moment(epoch) for epoch in range(100)]
    shown = {data.caption(Item(0, 0), moment) for moment in moments}
    assert shown <= {text.replace("{}", "my-cat") for text in texts} and len(shown) > len(texts) // 2
    assert {data.caption(Item(3, 0), moment) for moment in moments} == {"a cat"}
    assert data.captions_change and data.images[0].text == texts[0].replace("{}", "my-cat")
    assert all(text.count("{}") == 1 for text in texts) and len(set(texts)) == len(texts)


def test_the_page_counts_and_shows_what_templates_make(folder):
    given = {"train_data_dir": str(folder / "learnt" / "1_x"), "token_string": "my-pup", "resolution": "64"}
    (folder / "meta.json").write_text(json.dumps({name: {} for name in "abc"}))
    given |= {"in_json": str(folder / "meta.json"), "output_dir": str(folder / "out")}
    found = {}
    for name, more in (("templates", {"use_object_template": True}), ("captions", {})):
        checked = check(STAGES["train_inversion"], given | more, Project(), Roots([folder]))
        found[name] = counted(checked.draft), [finding.text for finding in checked.findings]
    data, said = found["templates"]
    assert data and sum(source.shown for source in data.sources) == 3
    assert any("my-pup" in text for text in said if text.startswith("As trained"))
    assert not found["captions"][0] or not found["captions"][0].sources[0].shown
