"""How fast the page is, beside an empty Gradio app on the same machine: `python benchmarks/gui.py --help`.

Both are started in turn, several times; of each figure the median counts. The exit code is 1 where a goal is missed.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Browser

from benchmarks import looks, servers
from benchmarks.alternating import in_turn
from benchmarks.rows import Row, at_least_one, at_most, json_file, tell
from benchmarks.stopping import stoppable
from kohya_gui.stages import STAGES
from sd_scripts.options.spec import OptionSpec, option_specs
from tests.page import chromium

IDLE_S = 2.0
Figures = dict[str, list[float]]


def main() -> int:
    """Measures, prints the table, and says whether every goal holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=5, help="how often each server is started (default: 5)")
    parser.add_argument("--json", type=json_file, help="also write the figures to this file")
    options = parser.parse_args()
    with chromium() as browser:
        rows = judged(measure(browser, options.rounds))
        about = {"gradio": version("gradio"), "chromium": browser.version, "rounds": options.rounds}
    return tell(rows, about, options.json, columns=("page", "empty app"))


def measure(browser: Browser, rounds: int) -> Figures:
    """Every figure of every round, by name."""
    found: Figures = defaultdict(list)
    kinds = [kind_of(spec) for spec in option_specs(STAGES["train"].options).values()]
    for number in range(rounds):
        for side in in_turn(number, _of_page, partial(_of_bare_app, kinds)):
            side(found, browser)
    return dict(found)


def _of_page(found: Figures, browser: Browser) -> None:
    with servers.the_page() as server:
        _first(found, "page", browser, server, looks.OURS)
        found["page torch"].append(float(server.loaded("libtorch")))
        found["page tab"].append(looks.essentials(browser, server.url))
        found["page form"].append(looks.full_form(browser, server.url))
        found["page preset"].append(looks.applied_preset(browser, server.url))


def _of_bare_app(kinds: list[str], found: Figures, browser: Browser) -> None:
    with servers.bare_app() as server:
        _first(found, "bare", browser, server, looks.BARE)
    with servers.bare_app(kinds) as server:
        found["bare form"].append(looks.bare_form(browser, server.url, len(kinds)))


def _first(found: Figures, name: str, browser: Browser, server: servers.Server, click: tuple[str, str]) -> None:
    with looks.first_look(browser, server.url, *click) as (_, click_s, sent_bytes):
        found[f"{name} start"].append(server.start_s)
        found[f"{name} click"].append(click_s)
        found[f"{name} load"].append(sent_bytes / 1000)
    time.sleep(IDLE_S)
    found[f"{name} memory"].append(server.memory_mb())


def kind_of(spec: OptionSpec) -> str:
    """The field that the bare app draws for an option."""
    if spec.kind == "bool":
        return "bool"
    return "choice" if spec.choices else "text" if spec.kind == "str" else "number"


def judged(found: Figures) -> list[Row]:
    """The medians, beside the goals."""
    middle = {name: statistics.median(all_of_it) for name, all_of_it in found.items()}
    most_mb = 250 + middle["bare memory"]
    # What is measured, its unit and key, and the goal.
    goals = [
        ("start to the first answer", "s", "start", at_most(1.6)),
        ("first click that has an effect", "s", "click", at_most(1.5)),
        ("first load, compressed", "kB", "load", at_most(1000, of="value")),
        ("a tab's essential fields, in the slowest tab", "s", "tab", at_most(0.3, of="value")),
        ("the whole training form, beside as many bare fields", "s", "form", at_most(1.2)),
        ("applying a preset", "s", "preset", at_most(0.5, of="value")),
        ("memory of the idle server (250 MB more may be)", "MB", "memory", at_most(most_mb, of="value")),
        ("torch in the server", "", "torch", at_most(0, of="value")),
    ]
    return [Row(what, unit, middle[f"page {key}"], middle.get(f"bare {key}"), goal) for what, unit, key, goal in goals]


if __name__ == "__main__":
    sys.exit(stoppable(main))
