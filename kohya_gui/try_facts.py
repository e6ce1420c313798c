"""How many pictures a try draws, and from what."""

from kohya_gui.draft import Draft
from kohya_gui.words import say
from sd_scripts.library.errors import UserError
from sd_scripts.library.generate.asked import read_asked
from sd_scripts.library.generate.columns import columns_of
from sd_scripts.options.spec import from_values


def counted_pictures(draft: Draft) -> tuple[int, str] | None:
    """(pictures, what their number comes from); None where it cannot be told. Of files only those in reach are read."""
    try:
        for flag in ("ckpt", "grid", "from_file"):
            given = draft.values.get(flag) or []
            for path in [given] if isinstance(given, str) else given:
                draft.roots.inside(path, flag, draft.base)
        options = from_values(draft.stage.options, draft.values)
        prompts, columns = len(read_asked(options.prompts)), len(columns_of(options))
    except (UserError, OSError):
        return None
    each = options.prompts.images_per_prompt * options.prompts.n_iter
    return prompts * columns * each, say("fact.try_from", prompts=prompts, columns=columns, each=each)
