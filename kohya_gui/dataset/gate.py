"""Whether files may be reached: many in few folders, so that a folder is looked at once."""

import os
from pathlib import Path

from kohya_gui.files import Roots
from sd_scripts.library.errors import BadOption


class Gate:
    """Lets through what lies inside the roots, links followed. Answers about folders are remembered."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._folders: dict[str, bool] = {}

    def lets(self, place: str) -> bool:
        """Whether a file may be read and written."""
        folder = os.path.dirname(place)
        if folder not in self._folders:
            self._folders[folder] = self._inside(folder)
        return self._folders[folder] and (not os.path.islink(place) or self._inside(place))

    def _inside(self, place: str) -> bool:
        try:
            self._roots.inside(place, "path", Path("/"))
        except BadOption:
            return False
        return True
