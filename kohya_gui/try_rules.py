"""Rules of trying a model: what gen_img.py itself would refuse, said beforehand."""

from collections.abc import Iterator

from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import rule
from sd_scripts.library.errors import UserError
from sd_scripts.library.generate.checks import check_drawing
from sd_scripts.options.spec import from_values


@rule("try")
def drawing_agrees(draft: Draft) -> Iterator[Finding]:
    """Files lie within reach, and the program accepts what was typed."""
    try:
        for flag, value in draft.values.items():
            for path in value if draft.specs[flag].path and isinstance(value, list) else []:
                draft.roots.inside(path, flag, draft.base)
        check_drawing(from_values(draft.stage.options, draft.values))
    except UserError as error:
        yield Finding("error", getattr(error, "option", "ckpt"), str(error))
