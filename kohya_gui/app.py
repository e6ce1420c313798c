"""The page: header, one tab per stage, run bar. Each is one gr.HTML that its script in web/ draws; no logic here."""

import functools
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from kohya_gui.api import Studio
from kohya_gui.arguments import fits
from kohya_gui.form import form_schema
from kohya_gui.i18n import LANGUAGES, t, words
from kohya_gui.layout_staying import NAMES, STAYS
from kohya_gui.stages import STAGES, TRAINERS

WEB = Path(__file__).parent / "web"
# Tools follow as soon as there is one.
TABS = ("project", "caption", "tag", "dataset", "metadata", "latents", "train", "try", "tools", "runs")
STYLES = (
    "base", "header", "form", "summary", "project", "runs", "history", "dialog", "presets", "findings", "samples",
    "dataset", "small",
)  # fmt: skip
SCRIPTS = (
    "core", "store", "check", "dialog", "plainhttp", "combo", "field", "tip", "recent", "form", "editing", "findings",
    "summary", "rail", "trainings", "stage", "tools", "metadata", "tabs", "pathbrowser", "drop", "difference",
    "importing", "keeping", "presets", "search", "chart", "poller", "notify", "runbar", "buckets", "results", "viewer",
    "samples", "machine", "prompts", "news", "actions", "log", "monitor", "history", "compare", "runrow", "runs",
    "plan", "project", "header", "dataset_album", "dataset_texts", "dataset_grid", "dataset_editor", "dataset_change",
    "dataset_facts", "dataset_filters", "dataset_saving", "dataset", "tryout",
)  # fmt: skip
"""In the order in which they need each other."""

QUEUE_LOOK_EVERY_S = 0.05
KEYFRAMES = re.compile(r"@keyframes [^{]+\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")

# Tools and tries are no step of a project: they have a mark while one runs, and where one failed.
MARKS = {tab: "none" if tab in ("tools", "try") else "todo" for tab in TABS}


def build(studio: Studio) -> gr.Blocks:
    """The page's blocks. Every endpoint of the studio is also an endpoint of the Gradio API, under its name."""
    with gr.Blocks(title="Studio", analytics_enabled=False, fill_width=True) as page:
        header = _place("header", studio)
        with gr.Tabs(elem_id="kg-tabs"):
            tabs = [_tab(name, studio) for name in TABS]
        _place("runbar", studio, elem_id="kg-runbar")
        # The header's value is the language: Gradio writes the tabs' labels.
        header.input(_labels, header, tabs, show_progress="hidden", api_visibility="private")
        for name in studio.ENDPOINTS:
            gr.api(_endpoint(studio, name), api_name=name)
    _rest(page)
    return page


def _rest(page: gr.Blocks) -> None:
    """Lets Gradio's queue look for work 20 times a second, as it does on Windows: 1000 times take 4 % of a core."""
    queue = page._queue
    queue.sleep_when_free, queue.progress_update_sleep_when_free = QUEUE_LOOK_EVERY_S, 2 * QUEUE_LOOK_EVERY_S


def page_assets() -> dict[str, Any]:
    """What launching or mounting the page needs: theme, head."""
    version = hashlib.sha256(page_script().encode()).hexdigest()[:16]
    # The views wait for the scripts, which come on their own: they are read aside, and kept by the browser.
    promise = "window.studio = new Promise(resolve => { window.studioIsThere = resolve; });"
    script = f'<script>{promise}</script><script src="studio.js?v={version}"></script>'
    return {"theme": _theme(), "head": f"<style>{_styles()}</style>{script}"}


@functools.cache
def page_script() -> str:
    """All scripts, with what they know from the start."""
    data = json.dumps(page_data(), ensure_ascii=False)
    return f"window.STUDIO_DATA = {data};\n{_joined(SCRIPTS, 'js')}\nstudioIsThere();\n"


def page_data() -> dict[str, Any]:
    """All that the scripts know from the start: forms, words, tabs. Fields that forms share are sent once."""
    forms = {stage.id: form_schema(stage.id, stage.options) for stage in STAGES.values()}
    fields: dict[str, int] = {}
    for form in forms.values():
        form["fields"] = {flag: _numbered(fields, field) for flag, field in form["fields"].items()}
    return {
        "forms": forms,
        "fields": [json.loads(field) for field in fields],
        "tabs": {tab: ids for tab in TABS if (ids := [stage.id for stage in STAGES.values() if stage.tab == tab])},
        "per_folder": [stage.id for stage in STAGES.values() if stage.per_folder],
        "trainers": {stage.id: [stage.method, stage.family] for stage in STAGES.values() if stage.trains},
        "stays": " ".join(STAYS.values()).split(),
        "names": NAMES.split(),
        "without_latents": [name for name in TRAINERS if STAGES["latents"].writes not in STAGES[name].reads],
        "groups": {stage.id: stage.group for stage in STAGES.values() if stage.group},
        "marks": MARKS,
        "words": {lang: _page_words(lang) for lang in LANGUAGES},
    }


def _page_words(lang: str) -> dict[str, str]:
    """The words that the scripts say; the server's own come with its answers."""
    return {key: text for key, text in words(lang).items() if not key.startswith("server.")}


def _numbered(known: dict[str, int], field: dict[str, Any]) -> int:
    """The number of a field among those known; it is added where it is new."""
    return known.setdefault(json.dumps(field, sort_keys=True), len(known))


def _tab(name: str, studio: Studio) -> gr.Tab:
    with gr.Tab(t(f"tab.{name}"), id=name, elem_id=f"tab-{name}") as tab:
        _place(name, studio)
    return tab


def _place(name: str, studio: Studio, elem_id: str | None = None) -> gr.HTML:
    """An empty place that the script of this name draws into, with a line to the server."""

    def call(asked: list[Any]) -> Any:
        action, arguments = asked if fits(asked, list[Any]) and len(asked) == 2 else ("", {})
        return studio.call(action, arguments)

    mount = f"Studio.mount(element, '{name}', server); "
    listen = "Studio.on('lang', lang => { props.value = lang; trigger('input'); });"
    start = f"{listen} if (Studio.page.lang !== 'en') {{ props.value = Studio.page.lang; trigger('input'); }}"
    return gr.HTML(
        "en",
        html_template=f'<div class="kg" data-view="{name}"></div>',
        js_on_load=f"studio.then(() => {{ {mount}{start if name == 'header' else ''} }});",
        server_functions=[call],
        apply_default_css=False,
        elem_id=elem_id,
    )


def _labels(lang: str) -> list[gr.Tab]:
    return [gr.Tab(label=t(f"tab.{name}", lang)) for name in TABS]


def _endpoint(studio: Studio, name: str) -> Callable[[dict[str, Any]], Any]:
    def answer(args: dict[str, Any]) -> dict[str, Any]:
        return studio.call(name, args)

    return answer


def _styles() -> str:
    """All styles. Handed to Gradio as `css`, they would be rewritten twice, rule by rule, while the page starts.

    Nested below the root three times over they outweigh Gradio's, as they would then; keyframes cannot be nested.
    """
    text = _joined(STYLES, "css")
    inner = KEYFRAMES.sub("", text)
    return "\n".join([_joined(("root",), "css"), *KEYFRAMES.findall(text), f":root:root:root {{\n{inner}\n}}"])


def _joined(names: tuple[str, ...], ending: str) -> str:
    return "\n".join((WEB / f"{name}.{ending}").read_text(encoding="utf-8") for name in names)


def _theme() -> gr.themes.Base:
    sans = gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700))
    mono = gr.themes.LocalFont("IBM Plex Mono", weights=(400,))
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=[sans, "system-ui", "Hiragino Sans", "Yu Gothic UI", "Noto Sans CJK JP", "sans-serif"],
        font_mono=[mono, "ui-monospace", "Consolas", "monospace"],
    ).set(
        body_background_fill="#f5f6f8",
        body_background_fill_dark="#13161b",
        body_text_color="#1a1e25",
        body_text_color_dark="#e7eaef",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1b1f26",
        border_color_primary="#d9dde4",
        border_color_primary_dark="#323944",
    )
