"""Measurements of every stage, beside the bare computation; `python -m benchmarks --help` lists them."""

import logging
import os
import signal
import sys

# On some processors bitsandbytes misses a package for 4-bit inference, which nothing here does (as in program.py).
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def _leave(*_: object) -> None:
    """Nothing has begun that would be left behind."""
    print("Stopped.", file=sys.stderr, flush=True)
    os._exit(130)


# So it is while `python -m` looks for the program: to read in torch and the like takes seconds, in which Ctrl+C would
# end in a long traceback of theirs.
if sys.argv[0] == "-m":
    signal.signal(signal.SIGINT, _leave)
