"""Rules of a training's captions: options that agree, and a look at what will be trained."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from kohya_gui import fixes
from kohya_gui.draft import Draft, Finding
from kohya_gui.listed import Listed
from kohya_gui.rules import entries_of, rule
from kohya_gui.stages import TRAINERS
from kohya_gui.training_plan import training_plan
from sd_scripts.library.data.caption_rules import CaptionRules, caption_rules, final_caption, idle_options
from sd_scripts.library.data.templates import asked_templates
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.spec import from_values

SHOWN = 3
_SHOWN_LETTERS = 80


@rule(*TRAINERS)
def captions_as_trained(draft: Draft) -> Iterator[Finding]:
    """Options of captions agree; the first captions are shown as the first step trains them.

    With a dataset_config each of its subsets may have rules and texts of its own.
    """
    if draft.get("dataset_config"):
        return
    try:
        rules = own_rules(draft)
    except BadOption as error:
        yield Finding("error", error.option, str(error), (fixes.leave_out(draft, error.option),))
        return
    for option, needed in idle_options(rules).items():
        mend = fixes.leave_out(draft, option)
        yield draft.warning(option, "check.changes_nothing", mend, needed=", ".join(needed))
    yield from shown(draft, rendered(draft, texts_of_entries(entries_of(draft), rules), rules))


def own_rules(draft: Draft) -> CaptionRules:
    """The rules of the form's own captions. Errors: BadOption."""
    rules = caption_rules(from_values(CaptionOptions, draft.values))
    return replace(rules, templates=asked_templates(draft.values))


def shown(draft: Draft, captions: Iterable[str]) -> Iterator[Finding]:
    """The first of some captions, each in quotes."""
    quoted = [f'"{_short(text)}"' for text in islice(captions, SHOWN)]
    if quoted:
        yield draft.fine("check.captions_as_trained", captions=" · ".join(quoted))


def rendered(draft: Draft, texts: Iterable[str], rules: CaptionRules) -> Iterator[str]:
    """Texts as the first step trains them."""
    plan = training_plan(draft)
    moment = Moment(total_steps=plan.steps if plan else 1, seed=draft.get("seed") or 0)
    for index, text in enumerate(texts):
        yield final_caption(text, rules, Item(index, 0), moment)


def texts_of_entries(entries: Listed | None, rules: CaptionRules) -> Iterator[str]:
    """The texts of metadata's entries that have any; where captions are templates, all have."""
    return entries.texts(rules) if entries else iter(())


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else text[:_SHOWN_LETTERS].rstrip() + "…"
