"""Rules of the tools: what they write does not mix with what is there."""

from collections.abc import Iterator

from kohya_gui import fixes
from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import rule

_TARGETS = {
    "make_folders": ("output_folder", ("img", "reg")),
    "balance_dataset": ("output_folder", ("",)),
    "group_images": ("output_folder", ("",)),
    "resize_images": ("dst_img_folder", ("",)),
    "edit_captions": ("output_folder", ("",)),
}
"""{tool: (where it writes, the folders of that which are to be empty)}."""


@rule(*_TARGETS)
def target_is_free(draft: Draft) -> Iterator[Finding]:
    """A folder that is not empty is written into only when that is asked for."""
    flag, parts = _TARGETS[draft.stage.id]
    target = draft.path(flag)
    if target is None or draft.get("add_to_existing"):
        return
    full = [place for part in parts if (place := target / part).is_dir() and any(place.iterdir())]
    if full:
        turn_on = fixes.turn_on(draft, "add_to_existing")
        yield draft.error(flag, "check.folder_full", turn_on, fixes.browse(flag), folder=full[0])


@rule("convert_model")
def new_model_is_free(draft: Draft) -> Iterator[Finding]:
    """A diffusers folder is written whole into a new place."""
    target = draft.path("model_to_save")
    if target and target.is_dir() and any(target.iterdir()):
        yield draft.error("model_to_save", "check.model_folder_full", fixes.browse("model_to_save"), folder=target)
