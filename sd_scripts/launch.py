"""accelerate launch, whose stop signals reach the training: `python sd_scripts/launch.py [its options] script ...`.

By itself the launcher ends at a signal: one process would be left alone, several be killed after half a minute. Here
it passes the signal on and waits, so that the training finishes its step, saves its state, and ends with its code.
More processes than one are several without --multi_gpu, too.
"""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.launching import Stops, launch  # noqa: E402


def main() -> None:
    """Starts what the command line says, and takes its exit code."""
    if sys.argv[1:2] in (["-h"], ["--help"]):
        # accelerate's own help needs torch: it takes seconds.
        try:
            print(
                f"{__doc__}\nIts options are those of `accelerate launch`, which `accelerate launch --help` lists.",
                flush=True,
            )
        except BrokenPipeError:
            sys.stdout = None  # Whoever reads it has seen enough: Python would try once more at its end.
        return
    sys.exit(launch(Stops()))


if __name__ == "__main__":
    main()
