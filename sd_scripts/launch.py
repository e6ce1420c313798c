"""accelerate launch, whose stop signals reach the training: `python sd_scripts/launch.py [its options] script ...`.

By itself the launcher ends at a signal: one process would be left alone, several be killed after half a minute. Here
it passes the signal on and waits, so that the training finishes its step, saves its state, and ends with its code.
"""

import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library import systems  # noqa: E402

ADVICE = "Perhaps memory ran out. What was saved or made is kept: go on from there."


def pass_on(number: int, frame: Any) -> None:
    """Asks what was started here to stop. On Windows the console has told it already."""
    if not systems.WINDOWS:
        # Ctrl+C may have reached it by itself: another signal is no second Ctrl+C to it.
        systems.ask_children(signal.SIGTERM)


def main() -> None:
    """Starts what the command line says, and takes its exit code."""
    if sys.argv[1:2] in (["-h"], ["--help"]):
        # accelerate's own help needs torch: it takes seconds.
        print(f"{__doc__}\nIts options are those of `accelerate launch`, which `accelerate launch --help` lists.")
        return
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    from accelerate.commands import launch
    from torch.distributed.elastic.multiprocessing import api
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # It would put a handler of its own in place of ours, which ends all at once.
    api._terminate_process_handler = pass_on
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        launch.main()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        # A script has said why itself, unless it was killed.
        if failure.exitcode < 0:
            killed = signal.Signals(-failure.exitcode).name
            print(f"Error: process {rank + 1} was ended from outside ({killed}). {ADVICE}", file=sys.stderr)
        sys.exit(max(failure.exitcode, 0) or 1)
    except subprocess.CalledProcessError as error:
        sys.exit(max(error.returncode, 0) or 1)


if __name__ == "__main__":
    main()
