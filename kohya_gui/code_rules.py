"""Options that name code, or bring further options: what a run would do is told before, wherever they came from."""

from collections.abc import Iterator

from kohya_gui import fixes
from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import rule
from kohya_gui.stages import STAGES
from sd_scripts.library.installed import USUAL_PACKAGES, is_installed

NAMES_CODE = ("network_module", "optimizer_type", "lr_scheduler_type", "dataset_class")
_OURS = ("networks.", "sd_scripts.networks.")


@rule(*(stage.id for stage in STAGES.values()))
def code_is_installed(draft: Draft) -> Iterator[Finding]:
    """Code comes from an installed package; of one that training does not usually take code from, that is asked."""
    for flag in NAMES_CODE:
        value = draft.get(flag) or []
        for name in [value] if isinstance(value, str) else value:
            package = package_of(flag, name)
            if package and not is_installed(package):
                yield draft.error(flag, "check.code_not_installed", fixes.leave_out(draft, flag), package=package)
            elif package and package not in USUAL_PACKAGES:
                yield draft.warning(
                    flag, "check.code_of_others", fixes.leave_out(draft, flag), package=package, name=name
                )


@rule(*(stage.id for stage in STAGES.values()))
def all_options_are_seen(draft: Draft) -> Iterator[Finding]:
    """No file brings further options: nobody would have looked at their paths, nor at code that they name."""
    if draft.get("config_file"):
        yield draft.error("config_file", "check.config_file", fixes.leave_out(draft, "config_file"))


def package_of(flag: str, name: str) -> str | None:
    """The package whose code an option's value names; None for names that the programs know themselves."""
    dotted = "." in name or flag == "network_module"
    if not dotted or name.startswith(_OURS) or not all(part.isidentifier() for part in name.split(".")):
        return None
    return name.partition(".")[0]
