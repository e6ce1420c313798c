"""How fast the page is, beside an empty Gradio app on the same machine: `python benchmarks/gui.py --help`.

Both are started in turn, several times; of each figure the median counts. The exit code is 1 where a goal is missed.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Browser

from benchmarks import looks, servers
from benchmarks.figures import in_one_line, machine
from benchmarks.rows import json_file
from kohya_gui.stages import STAGES
from sd_scripts.library.io.atomic import write_json
from sd_scripts.options.spec import OptionSpec, option_specs
from tests.page import chromium

IDLE_S = 2.0
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Result:
    """A figure of the page, what it is compared with (if with anything), and the most that it may be."""

    name: str
    unit: str
    page: float
    bare: float | None
    goal: str
    holds: bool


def main() -> int:
    """Measures, prints the table, and says whether every goal holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each server is started (default: 5)")
    parser.add_argument(
        "--json", type=json_file, help="also write the results, the machine and the versions to this file"
    )
    options = parser.parse_args()
    with chromium() as browser:
        facts = measure(browser, options.rounds)
        about = machine() | {"gradio": version("gradio"), "chromium": browser.version}
    results = judged(facts)
    print(table(results, about, options.rounds))
    if options.json:
        written = {"about": about, "rounds": options.rounds, "results": [asdict(one) for one in results], "all": facts}
        write_json(options.json, written)
    return 0 if all(one.holds for one in results) else 1


def measure(browser: Browser, rounds: int) -> Figures:
    """Every figure of every round, by name."""
    found: Figures = defaultdict(list)
    kinds = [kind_of(spec) for spec in option_specs(STAGES["train"].options).values()]
    for _ in range(rounds):
        with servers.bare_app() as server:
            _first(found, "bare", browser, server, looks.BARE)
        with servers.the_page() as server:
            _first(found, "page", browser, server, looks.OURS)
            found["page torch"].append(float(server.loaded("libtorch")))
            found["page tab"].append(looks.essentials(browser, server.url))
            found["page form"].append(looks.full_form(browser, server.url))
            found["page preset"].append(looks.applied_preset(browser, server.url))
        with servers.bare_app(kinds) as server:
            found["bare form"].append(looks.bare_form(browser, server.url, len(kinds)))
    return dict(found)


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


def judged(found: Figures) -> list[Result]:
    """The medians, beside the goals."""
    middle = {name: statistics.median(all_of_it) for name, all_of_it in found.items()}
    bare = {name.removeprefix("bare "): value for name, value in middle.items() if name.startswith("bare ")}
    # What is measured, its unit and key, the goal in words, the most that it may be.
    goals = [
        ("start to the first answer", "s", "start", "at most 1.6 times the empty app's", 1.6 * bare["start"]),
        ("first click that has an effect", "s", "click", "at most 1.5 times the empty app's", 1.5 * bare["click"]),
        ("first load, compressed", "kB", "load", "at most 1000 kB", 1000),
        ("a tab's essential fields, in the slowest tab", "s", "tab", "under 0.3 s", 0.3),
        ("the whole training form", "s", "form", "at most 1.2 times as many bare fields", 1.2 * bare["form"]),
        ("applying a preset", "s", "preset", "under 0.5 s", 0.5),
        ("memory of the idle server", "MB", "memory", "under 250 MB above the empty app's", 250 + bare["memory"]),
        ("torch in the server", "", "torch", "none", 0),
    ]
    return [
        Result(name, unit, middle[f"page {key}"], bare.get(key), goal, middle[f"page {key}"] <= most)
        for name, unit, key, goal, most in goals
    ]


def table(results: list[Result], about: dict[str, Any], rounds: int) -> str:
    """The results as a Markdown table."""
    lines = [
        in_one_line(about) + f"; medians of {rounds}",
        "",
        "| | page | bare Gradio | ratio | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for one in results:
        bare = f"{_shown(one.bare)} {one.unit}" if one.bare is not None else ""
        ratio = f"{one.page / one.bare:.2f}" if one.bare else ""
        said = "holds" if one.holds else "MISSED"
        lines.append(f"| {one.name} | {_shown(one.page)} {one.unit} | {bare} | {ratio} | {one.goal} | {said} |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:.2f}" if 0 < value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
