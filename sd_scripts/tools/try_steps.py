"""Try some real steps of a training: how long each takes, and how much memory. Nothing of it is kept.

    try_steps.py train_network.py --steps 3 -- --pretrained_model_name_or_path model.safetensors ...

Without a script it tells the device, and the memory that there is.
"""

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import get_args

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.errors import UserError  # noqa: E402
from sd_scripts.options.cli import parse  # noqa: E402
from sd_scripts.options.fit import Training  # noqa: E402
from sd_scripts.options.scripts import SCRIPTS  # noqa: E402


def main() -> int:
    """Exit code 0, also where memory ran out: that is a result. 2: an option or a file cannot be used."""
    # As in every program (program.py): it misses a package that nothing here needs.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    argv = sys.argv[1:]
    end = argv.index("--") if "--" in argv else len(argv)
    asked = arguments().parse_args(argv[:end])
    try:
        told = look(asked, argv[end + 1 :])
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    if asked.result:
        Path(asked.result).write_text(json.dumps(told), encoding="utf-8")
    print(json.dumps(told))
    return 0


def look(asked: argparse.Namespace, words: list[str]) -> dict[str, object]:
    """The figures of the steps, or of the device. Errors: UserError."""
    options = parse(SCRIPTS[asked.script], words, asked.script) if asked.script else None
    # After the options, which are read at once: torch is not.
    from sd_scripts.library.train.trial import device_facts, limit_memory, try_steps

    if options is None:
        return device_facts()
    if asked.memory_gb is not None:
        limit_memory(asked.memory_gb * 1e9)
    return dataclasses.asdict(try_steps(asked.script, options, asked.steps, asked.room))


def _more_than_nothing(word: str) -> float:
    if not float(word) > 0:
        raise argparse.ArgumentTypeError(f"{word} GB is no memory: give more than 0.")
    return float(word)


def arguments() -> argparse.ArgumentParser:
    """What stands before the training's own options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    trainings = get_args(Training)
    parser.add_argument(
        "script", nargs="?", choices=trainings, help="whose training is tried; its options come after --"
    )
    parser.add_argument("--steps", type=int, default=3, help="steps to measure after the first two (default: 3)")
    parser.add_argument("--memory_gb", type=_more_than_nothing, help="a GPU has no more than this")
    parser.add_argument(
        "--room", help="folder for what a training may write meanwhile; the system's temporary one else"
    )
    parser.add_argument("--result", help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
