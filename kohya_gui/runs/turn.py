"""A run whose turn has come is looked at once more: what was there when it was queued may be gone."""

import time
from pathlib import Path

from kohya_gui.i18n import LANGUAGES
from kohya_gui.runs.store import Outcome, RunRecord
from kohya_gui.words import Reason, speaking


def stands_against(record: RunRecord) -> Outcome | None:
    """How a run ends that cannot begin; None for one that can, and for what is no stage of the page.

    Warnings were confirmed when it was queued, so only errors count.
    """
    if not record.values:
        return None
    try:
        said = [_first_error(record, lang) for lang in LANGUAGES]
    except Exception:
        # A fault of the checks must keep no run from beginning: the script checks for itself.
        return None
    if said[0] is None or said[1] is None:
        return None
    texts = {lang: text for lang, (_, text) in zip(LANGUAGES, filter(None, said), strict=True)}
    now_s = time.time()
    reason = Reason("run.stood_against", {"text": texts})
    return Outcome(state="failed", started=now_s, ended=now_s, reason=reason, option=said[0][0])


def _first_error(record: RunRecord, lang: str) -> tuple[str | None, str] | None:
    """(field, sentence) of what keeps a run from beginning."""
    # They bring pillow and much else along, which a worker without such runs need not wait for.
    from kohya_gui.checks import check
    from kohya_gui.files import Roots
    from kohya_gui.project import Project
    from kohya_gui.stages import STAGES

    stage = STAGES.get(record.stage)
    if stage is None or not any(Path(part).as_posix().endswith(stage.script) for part in record.argv):
        return None
    # Whether the page may reach the paths was judged when it was queued.
    texts = [value for value in [record.work_dir, *record.values.values()] if isinstance(value, str)]
    everywhere = Roots([Path(anchor) for anchor in sorted({Path(text).anchor for text in texts} - {""})])
    with speaking(lang):
        found = check(stage, record.values, Project(work_dir=record.work_dir), everywhere).findings
    return next(((one.field, one.text) for one in found if one.level == "error"), None)
