"""The last part of the way: what a record or a preset holds is drawn into the form, and leaves it as it was."""

from pathlib import Path
from typing import Any

from hypothesis import given, settings

from kohya_gui.arguments import exact
from kohya_gui.checks import check
from kohya_gui.files import Roots
from kohya_gui.form import as_typed
from kohya_gui.project import Project
from kohya_gui.stages import STAGES, Stage, stage_values
from sd_scripts.options.spec import flat_values, from_values
from tests.gui_server.test_travel import SETTINGS, said, typed_forms
from tests.page import Tab

# Loads values into the form of a stage; what the form sends, and the fields that it would mark as wrong.
LOADED = """([stage, forms]) => forms.map((values) => {
    const { store, check } = Studio, fields = store.fields(stage);
    store.load(stage, { name: null, values });
    const wrong = Object.keys(fields).filter((flag) => check(fields[flag], store.value(stage, flag)));
    return [store.values(stage), wrong, Object.keys(fields).map((flag) => [flag, store.value(stage, flag)])];
})"""


def forms_of(stage: Stage) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = []

    @settings(SETTINGS, max_examples=6, derandomize=True)
    @given(typed_forms(stage))
    def draw(typed: dict[str, Any]) -> None:
        drawn.append(typed)

    draw()
    return drawn


def test_values_pass_through_the_form_of_the_page_unchanged(tab: Tab, tmp_path: Path) -> None:
    """As presets and records hold them, in the real page: its texts of them are read as the same values."""
    tab.open()
    tab.page.evaluate("Studio.store.take(null)")

    def values_of(stage: Stage, typed: dict[str, Any]) -> dict[str, Any]:
        return check(stage, typed, Project(work_dir=str(tmp_path)), Roots([Path("/")])).draft.values

    for stage in STAGES.values():
        values = [values_of(stage, typed) for typed in forms_of(stage)]
        records = [flat_values(from_values(stage.options, one)) for one in values]
        sent_in = [as_typed(stage.id, one) for one in values + records]
        answers = tab.page.evaluate(LOADED, [stage.id, exact(sent_in)])
        # Presets hold what differs from the script's defaults; the form begins with what is usual besides.
        begins = stage_values(stage, Project()).values
        come = [begins | one for one in values] + values
        for one, (sent, wrong, shown) in zip(come, answers, strict=True):
            assert wrong == []
            assert said(values_of(stage, sent)) == said(one)
            # What stands in the fields is the same as what is sent.
            assert said(values_of(stage, dict(shown))) == said(one)
    tab.page.evaluate("localStorage.clear()")
