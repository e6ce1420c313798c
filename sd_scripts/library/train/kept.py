"""What a run has written, as far as it needs to know: to go back to it, and to say what there is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sd_scripts.library.report import Report
from sd_scripts.library.train.state import Anew
from sd_scripts.library.train.state_files import damage


class KeptState(NamedTuple):
    """A state that can be gone back to; `anew`: what is not taken from it, where a branch began with it."""

    folder: Path
    anew: Anew | None = None


@dataclass
class Kept:
    """The newest that a run has written, or began with, of any kind; and its states, the newest last."""

    save: Path | None = None
    states: list[KeptState] = field(default_factory=list)

    def newest_whole(self, report: Report) -> KeptState | None:
        """The newest state that is whole; one that is not is told and left out, unless it was removed."""
        for state in reversed(self.states):
            if not state.folder.exists():
                continue
            if (wrong := damage(state.folder)) is None:
                return state
            report.notice(f"The state {state.folder} is left out: {wrong}.", "warning")
        return None
