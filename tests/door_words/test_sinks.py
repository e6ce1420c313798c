"""The page's scripts write no text as markup, run none, and follow no address but their own: told by their sources."""

import re
from collections import Counter

import pytest

from kohya_gui.app import SCRIPTS, WEB

SOURCES = {path.name: path.read_text(encoding="utf-8") for path in WEB.glob("*.js")}
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment|DOMParser"
    r"|srcdoc|setHTMLUnsafe|new Markup\(|javascript:|\.href = |window\.open\(|\blocation\b(?!\")|setTimeout\([\"'`]"
    r"|setAttribute\(\"(?:on|href|src|style)|\bimport\("
)
EXCEPTIONS = {
    # The two places where markup that html`` has escaped becomes elements, html`` itself, attr(), and the icons.
    ("core.js", "innerHTML"): 2,
    ("core.js", "new Markup("): 3,
    # A file to keep: the address is a blob of the page's own.
    ("core.js", ".href = "): 1,
    # Numbers and fixed words only: see the test below.
    ("chart.js", "innerHTML"): 2,
    # Markup of html``.
    ("form.js", "insertAdjacentHTML"): 1,
    # The page itself once more, for a login that is gone.
    ("runbar.js", "location"): 1,
    # TensorBoard, at an address that the server made and fileUrl() has set below the page's own.
    ("header.js", "window.open("): 1,
}


def test_every_script_is_looked_at():
    assert {f"{name}.js" for name in SCRIPTS} == SOURCES.keys()


def test_text_becomes_markup_at_these_places_only():
    found = Counter((name, sink) for name, text in SOURCES.items() for sink in SINKS.findall(text))
    assert found == EXCEPTIONS


def test_what_the_exceptions_write_is_escaped_or_numbers():
    core, chart, form = SOURCES["core.js"], SOURCES["chart.js"], SOURCES["form.js"]
    assert "element.innerHTML = markup(content);" in core
    assert "const text = markup(content);" in core and "element.innerHTML = text;" in core
    assert 'insertAdjacentHTML("beforeend", grid(stage, place.flags).text)' in form
    drawn = chart[chart.index("svg.innerHTML = [") : chart.index('].join("")')]
    holes = set(re.findall(r"\$\{([^{}]*)\}", drawn))
    numbers = re.compile(r"(X|Y|short|number|path)\(|(LEFT|TOP|at|height_px|width|i)\b")
    fixed = {"line.colour", "line.width", 'line.dash || "none"', "label"}
    assert {hole for hole in holes if not numbers.match(hole)} == fixed


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_no_value_stands_in_markup_without_quotes(name):
    """An attribute without quotes ends at a space: what html`` escapes would not hold it."""
    templates = re.findall(r"html`(?:[^`\\]|\\.)*`", SOURCES[name])
    assert not [one for one in templates if re.search(r"<[^>]*\s[\w-]+=\$\{", one)]
    # Nor within a handler, a script, or an address that a value begins and that the page does not make itself.
    assert not [one for one in templates if re.search(r"\son\w+=|<script|href=\"\$\{", one)]
