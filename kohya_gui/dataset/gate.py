"""Whether files may be reached: many in few folders, so that a folder is looked at once."""

import os
import time
from pathlib import Path

from kohya_gui.files import Roots
from sd_scripts.library.errors import BadOption

REMEMBERED_S = 1.0
"""A folder may become a link that leads elsewhere."""


class Gate:
    """Lets through what lies inside the roots, links followed. Answers about folders are remembered for a moment."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._folders: dict[str, tuple[float, bool]] = {}

    def lets(self, place: str) -> bool:
        """Whether a file may be read and written."""
        folder, now = os.path.dirname(place), time.monotonic()
        asked, inside = self._folders.get(folder, (-REMEMBERED_S, False))
        if now - asked >= REMEMBERED_S:
            inside = self._inside(folder)
            self._folders[folder] = now, inside
        return inside and (not os.path.islink(place) or self._inside(place))

    def _inside(self, place: str) -> bool:
        try:
            self._roots.inside(place, "path", Path("/"))
        except BadOption:
            return False
        return True
