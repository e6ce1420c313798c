"""What the page costs before anything is done: what is sent, from where, and what its server keeps in memory.

How long it takes is measured by benchmarks/gui.py.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from benchmarks import looks, servers
from benchmarks.gui import judged
from tests.page import REPOSITORY

MAX_SENT_BYTES = 1_000_000
MAX_MORE_MB = 250


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    with servers.the_page() as server:
        yield server


def test_the_first_load_is_small_and_comes_from_the_server_alone(browser: Browser, server: servers.Server) -> None:
    with looks.first_look(browser, server.url, *looks.OURS) as (page, _, sent_bytes):
        asked = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
        fonts = page.evaluate("document.fonts.ready.then(all => [...all].map(one => `${one.family} ${one.status}`))")
    assert 50_000 < sent_bytes < MAX_SENT_BYTES
    assert len(asked) > 20 and [url for url in asked if not url.startswith(server.url)] == []
    assert any("IBM Plex Sans" in font and "loaded" in font for font in fonts), "the fonts are sent along"
    assert [font for font in fonts if "error" in font] == []


def test_our_own_files_name_no_other_server() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "kohya_gui" / "web").iterdir()}
    # The name of SVG's language looks like an address and is none.
    foreign = re.compile(r'(?:https?:|["(])//(?!www\.w3\.org/2000/svg)[a-z0-9.-]+\.[a-z]{2,}', re.I)
    assert len(texts) > 20
    assert {path.name: found for path, text in texts.items() if (found := foreign.findall(text))} == {}


def test_no_icon_is_an_emoji() -> None:
    emoji = re.compile("[\U0001f000-\U0001faff\u2600-\u26ff\u2b50\ufe0f]")
    files = [path for folder in ("web", "locales") for path in (REPOSITORY / "kohya_gui" / folder).iterdir()]
    assert [path.name for path in files if emoji.search(path.read_text(encoding="utf-8"))] == []


def test_the_idle_server_is_small_and_has_no_torch(server: servers.Server) -> None:
    assert not server.loaded("libtorch")
    with servers.bare_app() as bare:
        assert server.memory_mb() < bare.memory_mb() + MAX_MORE_MB


def test_the_benchmark_says_which_goal_is_missed() -> None:
    figures = {"start": 2.0, "click": 1.0, "form": 1.0, "memory": 100.0}
    found = {f"bare {name}": [value] for name, value in figures.items()}
    found |= {f"page {name}": [value] for name, value in figures.items()}
    found |= {"page load": [500.0], "page tab": [0.1], "page preset": [0.1], "page torch": [0.0, 0.0, 0.0]}
    assert all(one.holds for one in judged(found))
    slower = found | {"page click": [1.4, 1.6, 1.7], "page tab": [0.1, 0.4, 0.1]}
    assert [one.what for one in judged(slower) if not one.holds] == ["first click that has an effect"]
