"""The program behind setup.sh and setup.bat."""

from __future__ import annotations

import sys
from pathlib import Path

# The repository root stands where this folder was, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from installer.commands import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
