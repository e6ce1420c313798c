"""Rules of a training's captions: options that agree, and a look at what will be trained."""

from collections.abc import Iterator
from itertools import islice

from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import entries_of, rule
from kohya_gui.training_plan import training_plan
from sd_scripts.library.data.caption_rules import CaptionRules, caption_rules, final_caption, idle_options
from sd_scripts.library.data.captions import training_text
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.spec import from_values

_SHOWN, _SHOWN_LETTERS = 3, 80


@rule("train")
def captions_as_trained(draft: Draft) -> Iterator[Finding]:
    """Options of captions agree; the first captions are shown as the first step trains them.

    With a dataset_config each of its subsets may have rules and texts of its own.
    """
    if draft.get("dataset_config"):
        return
    try:
        rules = caption_rules(from_values(CaptionOptions, draft.values))
    except BadOption as error:
        yield Finding("error", error.option, str(error))
        return
    for option, needed in idle_options(rules).items():
        yield draft.warning(option, "check.changes_nothing", needed=", ".join(needed))
    captions = list(islice(_captions(draft, rules), _SHOWN))
    if captions:
        yield draft.fine("check.captions_as_trained", captions=" · ".join(f'"{_short(text)}"' for text in captions))


def _captions(draft: Draft, rules: CaptionRules) -> Iterator[str]:
    plan = training_plan(draft)
    moment = Moment(total_steps=plan.steps if plan else 1, seed=draft.get("seed") or 0)
    entries = (entries_of(draft) or {}).values()
    texts = (training_text(e.get("caption", ""), e.get("tags", ""), rules.separator, rules.wildcards) for e in entries)
    for index, text in enumerate(text for text in texts if text):
        yield final_caption(text, rules, Item(index, 0), moment)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else text[:_SHOWN_LETTERS].rstrip() + "…"
