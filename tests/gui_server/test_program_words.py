"""The Japanese of what scripts say: none is missing, none is left over, and values stay as they are."""

import ast
import time

import pytest

from kohya_gui.i18n import words
from kohya_gui.program_words import Template, catalogue, program_words
from tests.gui_server import program_sentences
from tests.gui_server.program_sentences import SCRIPTS, is_prose, missing_lines, sentences, stale_lines

TOOL = "python -m tests.gui_server.program_sentences"
FILE = "kohya_gui/locales/program_ja.json"


def japanese(sentence: str) -> str:
    return program_words(sentence, "ja")


def test_every_sentence_of_the_scripts_has_its_japanese():
    missing = missing_lines(catalogue())
    advice = f"{TOOL} puts them into {FILE}; give each its Japanese ({{name:text}} for what is words, not a value)"
    assert not missing, f"These sentences lack their Japanese. {advice}:\n" + "\n".join(missing)


def test_no_line_is_left_over():
    stale = stale_lines(catalogue())
    assert not stale, f"No script says these any more. {TOOL} takes them out of {FILE}:\n" + "\n".join(stale)


def test_both_sides_of_a_line_have_the_same_placeholders():
    for part in ("sentences", "others"):
        for key, said in catalogue(part=part).items():
            template = Template.of(key, said)
            assert said and set(template.names) == set(program_sentences.placeholders(said)), key
            assert len(set(template.names)) == len(template.names), key


def test_the_search_for_sentences_finds_what_it_should():
    """It reads f-strings, choices, sums, tables and single words; not what only the terminal shows."""
    found = {key for key, _ in sentences().values()}
    assert len(found) > 600
    assert "--{option} {path}: there is no such file." in found
    # Chosen between two, in a table, one word within another sentence, a sum of two, the reason of a skipped picture.
    assert {"there is no such file", "a whole number", "infinite", "the file is empty"} <= found
    assert "there is no option {key}.{more}" in found
    assert not any("Learning rate of everything" in key or "Loading" in key for key in found)
    assert is_prose("a side is short") and not is_prose("--max_train_steps") and not is_prose("utf-8")


def test_every_phase_has_its_words():
    names = set()
    for path in SCRIPTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "phase":
                names |= {first.value for first in node.args[:1] if isinstance(first, ast.Constant)}
    # The demo shows its stages in a terminal.
    names.discard("demo")
    assert len(names) > 12
    for lang in ("en", "ja"):
        for kind in ("phase", "phase_name"):
            assert [name for name in names if f"server.{kind}.{name}" not in words(lang)] == []
    # A phase that has ended is not told as if it went on.
    assert not [text for key, text in words("ja").items() if key.startswith("server.phase_name.") and "中" in text]


@pytest.mark.parametrize(
    ("english", "said"),
    [
        (
            '--dataset_config "/a b/写真.toml": this is a folder. Name a .toml or .json file.',
            "--dataset_config「/a b/写真.toml」: これはフォルダです。.toml か .json のファイルを指定してください。",
        ),
        (
            '--learning_rate abc: "abc" is not a number. Write 1e-5 or 0.00001.',
            "--learning_rate abc: 「abc」は数値ではありません。例: 1e-5、0.00001。",
        ),
        (
            "/x/cfg.toml: there is no option lerning_rate. Did you mean learning_rate?",
            "/x/cfg.toml: lerning_rate というオプションはありません。learning_rate のことですか。",
        ),
        (
            "Entries of the metadata left out: 1,003 have no picture, 2 cannot be read.",
            "除外したメタデータの項目: 1,003 件は画像がありません、2 件は読み取れません。",
        ),
        (
            "The loss became NaN at step 3, in epoch 1 (pictures: a, b and 4 more). Nothing was saved before. "
            "What may help: a lower --learning_rate than 0.001, a look at these pictures.",
            "ステップ 3 (エポック 1) で損失が NaN になりました (画像: a、b ほか 4 件)。まだ何も保存されていません。"
            "試せること: --learning_rate を 0.001 より低く、これらの画像を確かめる。",
        ),
        (
            "The loss became NaN at step 3, in epoch 1 (pictures: a, b). It is the last of 20 such steps in a row. "
            "Nothing was saved before. What may help: a lower --learning_rate than 1e+30, --min_snr_gamma 5, "
            "--on_nonfinite skip where that is rare, a look at these pictures.",
            "ステップ 3 (エポック 1) で損失が NaN になりました (画像: a, b)。このようなステップが 20 回続きました。"
            "まだ何も保存されていません。試せること: --learning_rate を 1e+30 より低く、--min_snr_gamma 5、"
            "まれな場合は --on_nonfinite skip、これらの画像を確かめる。",
        ),
        (
            "/w/out.json: Permission denied. Name another file, or see to its folder.",
            "/w/out.json: アクセスが許可されていません。別のファイルを指定するか、フォルダを確認してください。",
        ),
    ],
)
def test_sentences_are_said_in_japanese(english: str, said: str):
    assert japanese(english) == said


def test_values_pass_untouched():
    """Also where a name reads like a sentence of ours, in part or in whole."""
    twins = 'the file is empty and in {x}.png are both called "in it" in the metadata. Rename one of them.'
    said = "the file is empty と in {x}.png が、メタデータではどちらも「in it」です。どちらかの名前を変えてください。"
    assert japanese(twins) == said
    strange = "a stranger's sentence, in which nothing is known."
    for text in (strange, "/in/a folder/x: y", "", "日本語の文です。", "a and b c"):
        assert japanese(text) == text
    assert program_words("the file is empty", "en") == "the file is empty"


def test_it_is_fast():
    """Sentences that were read before cost nothing; a hostile one is read in linear time."""
    start = time.process_time()
    for number in range(20):
        japanese(f"/data/{number}.png: there is no such file or folder.")
    japanese("{}: " * 200 + ". and " * 200)
    assert time.process_time() - start < 5
