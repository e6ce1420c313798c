"""The generated documents are what the declarations say now."""

from pathlib import Path

import pytest

from docs.make_docs import DOCUMENTS
from docs.options import options
from sd_scripts.options.refused import REFUSED
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import option_specs

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_document_is_up_to_date(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == DOCUMENTS[name](), f"docs/{name} is old: run `make docs` and commit it"


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_option_stands_in_its_scripts_chapter(lang: str) -> None:
    chapters = options(lang).split("\n## ")[1:]
    for script, options_class in SCRIPTS.items():
        chapter = next(text for text in chapters if f"`{script}`" in text.partition("\n")[0])
        for name, spec in option_specs(options_class).items():
            shown = name if spec.positional else f"--{name}"
            assert chapter.count(f"\n| `{shown}` | ") == 1, (script, name)


def test_every_refused_flag_stands_there_with_its_reason() -> None:
    text = DOCUMENTS["compatibility.md"]().partition("## Refused, and why")[2]
    for flags in REFUSED.values():
        for name, sentence in flags.items():
            lines = [line for line in text.splitlines() if line.startswith("- ") and f"`--{name}`" in line]
            assert any(line.endswith(sentence) for line in lines)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_whole_and_links_lead_somewhere(name: str) -> None:
    text = DOCUMENTS[name]()
    for row in (line for line in text.splitlines() if line.startswith("| ")):
        assert row.replace("\\|", "").count("|") in (6, 7), row
    for target in ("options.md", "options-ja.md", "compatibility.md"):
        assert f"({target})" not in text or target in DOCUMENTS
