"""What a form asks besides checks: its command as a file for a terminal, prompts for samples."""

from abc import abstractmethod
from pathlib import Path

from kohya_gui.arguments import GivenProject, Json, Values
from kohya_gui.checks import Checked
from kohya_gui.command import script_file, stage_argv
from kohya_gui.endpoint import endpoint
from kohya_gui.launch import run_name
from kohya_gui.prompts import write_prompts
from kohya_gui.words import refusal


class FormEndpoints:
    """The part of the studio that has to do with forms."""

    repo: Path

    @endpoint
    def command_script(self, stage: str, values: Values, project: GivenProject = None, shell: str = "sh") -> Json:
        """The command of a form as a file for sh or cmd: its name and its text. Here nothing is written."""
        checked = self._check(stage, values, project, None)
        wrong = next((flag for flag, facts in checked.fields.items() if "error" in facts), None)
        if wrong:
            raise refusal(wrong, "command.not_ready")
        argv = stage_argv(checked.draft.stage, checked.draft.values, self.repo)
        return script_file(argv, shell, f"{stage}-{run_name(checked)}")

    @endpoint
    def write_prompts(self, stage: str, values: Values, project: GivenProject = None) -> Json:
        """Writes three of the captions as prompts into a new file of the working folder; gives its path."""
        path, prompts = write_prompts(self._check(stage, values, project, None).draft)
        return {"path": str(path), "prompts": prompts}

    @abstractmethod
    def _check(self, stage: str, values: Values, project: GivenProject, replaces: str | None) -> Checked:
        """What is wrong with a stage, and its values."""
