"""What the page can ask about presets: list, keep, edit, delete, take out as a file, and read from one."""

from dataclasses import asdict

from kohya_gui.arguments import Json, Values
from kohya_gui.endpoint import endpoint
from kohya_gui.files import Roots, bare
from kohya_gui.form import as_typed
from kohya_gui.importing.metadata import read_model
from kohya_gui.importing.reading import read_settings
from kohya_gui.presets import Preset, PresetStore, known_stage
from kohya_gui.project import ProjectStore
from kohya_gui.stages import stage_values
from kohya_gui.words import refusal
from sd_scripts.options.spec import option_specs


class PresetEndpoints:
    """The part of the studio that has to do with presets."""

    roots: Roots
    _projects: ProjectStore
    _presets: PresetStore

    @endpoint
    def presets(self, stage: str) -> Json:
        """The presets of a stage. Whoever loads one takes its values and resets everything else.

        With one of ours (`builtin`) paths and names stay as they are, unless it gives them.
        `damaged`: files of the user's that cannot be read.
        """
        shown = {kind: [_shown(stage, preset) for preset in found] for kind, found in self._presets.all(stage).items()}
        return {**shown, "damaged": [str(path) for path in self._presets.damaged(stage)]}

    @endpoint
    def preset_save(self, stage: str, name: str, description: str, values: Values, all: bool = False) -> Json:
        """Keeps values as a preset, without those that the open project gives: a preset fits every project.

        Only what differs from the defaults; `all`: every option, so that it holds when a default changes.
        """
        current = self._projects.current
        options = known_stage(stage).options
        given = stage_values(known_stage(stage), self._projects.get(current)).values if current else {}
        defaults = {flag: spec.default for flag, spec in option_specs(options).items() if flag not in given}
        whole = {**defaults, **values} if all else values
        own = {flag: value for flag, value in whole.items() if flag not in given or str(given[flag]) != str(value)}
        preset = self._presets.save(stage, name, description, own, "all" if all else "changed")
        return {"preset": _shown(stage, preset)}

    @endpoint
    def preset_edit(self, stage: str, name: str, new_name: str, description: str) -> Json:
        """Gives a preset another name and description. One of ours stays as it is: the change is made to a copy."""
        return {"preset": _shown(stage, self._presets.edit(stage, name, new_name, description))}

    @endpoint
    def preset_delete(self, stage: str, name: str) -> Json:
        """Deletes one of the user's presets."""
        self._presets.delete(stage, name)
        return {"ok": True}

    @endpoint
    def preset_export(self, stage: str, name: str) -> Json:
        """A preset as a file to take along: its name, and its text."""
        file_name, text = self._presets.exported(stage, name)
        return {"file_name": file_name, "text": text}

    @endpoint
    def preset_import(self, stage: str, text: str, file_name: str = "") -> Json:
        """What a text holds: a preset, settings of kohya_ss, TOML, a command line, or metadata. Keeps nothing.

        The report says of every value whether it is taken, changed or not taken, and why.
        """
        known_stage(stage)
        return {"report": read_settings(text, file_name, stage).as_json()}

    @endpoint
    def preset_import_model(self, path: str) -> Json:
        """The same of a model on this machine: how it was trained, as far as its header tells."""
        found = self.roots.inside(bare(path), "path")
        if not found.is_file():
            raise refusal("path", "path.no_file", path=found)
        return {"report": read_model(found).as_json()}


def _shown(stage: str, preset: Preset) -> Json:
    return {**asdict(preset), "values": as_typed(stage, preset.values)}
