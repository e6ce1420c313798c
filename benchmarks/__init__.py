"""Measurements of every stage, beside the bare computation; `python -m benchmarks --help` lists them."""

import logging

# On some processors bitsandbytes misses a package for 4-bit inference, which nothing here does (as in program.py).
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
