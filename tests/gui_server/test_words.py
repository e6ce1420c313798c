"""Every sentence that the code asks for is there, in both languages, with the same facts in it."""

import json
import re
import string
from pathlib import Path

from kohya_gui.i18n import words
from sd_scripts.options.values import SENTENCES

CODE = Path(__file__).resolve().parents[2] / "kohya_gui"
NO_KEYS = ("project.json", "tensorboard.main", "tensorboard.json", "run.json", "state.json")
GROUPS = (
    "import|value|path|found|project|check|fact|stage|phase|state|run|preset|pipeline|tensorboard|command|call|dataset"
)


def server_words(lang):
    return {key: text for key, text in words(lang).items() if key.startswith("server.")}


def facts(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_no_locale_has_a_key_twice():
    """Of two alike JSON keeps the last, without a word."""

    def once(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), sorted(name for name in set(names) if names.count(name) > 1)
        return dict(pairs)

    for file in (CODE / "locales").glob("*.json"):
        json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=once)


def test_both_languages_say_the_same():
    english, japanese = server_words("en"), server_words("ja")
    assert {key for key in english if not key.endswith("_one")} == japanese.keys()
    for key, text in japanese.items():
        assert facts(text) == facts(english[key]), key


def test_every_key_in_the_code_has_its_sentence():
    own = [path for path in CODE.rglob("*.py") if path.name not in ("app.py", "form.py", "layout.py", "i18n.py")]
    used = {key for path in own for key in re.findall(rf'"((?:{GROUPS})\.[a-z0-9_]+)"', path.read_text())}
    used |= {f"value.{key}" for key in SENTENCES} | {
        f"run.after_{state}" for state in ("failed", "stopped", "cancelled")
    }
    known = server_words("en")
    assert len(used) > 90
    assert [key for key in sorted(used) if f"server.{key}" not in known and key not in NO_KEYS] == []
