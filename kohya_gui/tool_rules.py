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


_NEEDED = {
    "merge_models": ("models", "output"),
    "make_folders": ("train_pictures",),
    "cache_latents": ("pretrained_model_name_or_path", "train_data_dir", "resolution"),
    "cache_texts": ("pretrained_model_name_or_path", "train_data_dir"),
}
"""What a tool cannot do without, though its script has no places for it."""


@rule(*_NEEDED)
def what_is_needed_is_there(draft: Draft) -> Iterator[Finding]:
    """Values without which the script would end at once."""
    described = draft.get("dataset_config") or draft.get("in_json")
    for flag in _NEEDED[draft.stage.id]:
        if not draft.get(flag) and not (flag in ("train_data_dir", "resolution") and described):
            yield draft.error(flag, "value.required")


@rule("make_folders")
def words_are_given(draft: Draft) -> Iterator[Finding]:
    """A folder is named by what it shows."""
    if not draft.get("instance_prompt") and not draft.get("class_prompt"):
        yield draft.error("instance_prompt", "value.required")
    elif draft.get("reg_pictures") and not draft.get("class_prompt"):
        yield draft.error("class_prompt", "value.required")


@rule("edit_metadata", "edit_captions")
def place_is_named(draft: Draft) -> Iterator[Finding]:
    """Either a new place, or the old one on purpose."""
    flag = "output" if "output" in draft.specs else "output_folder"
    if not draft.get(flag) and not draft.get("in_place"):
        yield draft.error(flag, "check.place_needed", fixes.turn_on(draft, "in_place"), fixes.browse(flag))
    elif draft.get(flag) and draft.get("in_place"):
        yield draft.error(flag, "check.one_place", fixes.turn_off(draft, "in_place"), fixes.leave_out(draft, flag))
