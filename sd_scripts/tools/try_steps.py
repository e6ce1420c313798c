"""Try some real steps of a training: how long each takes, and how much memory. Nothing of it is kept."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from sd_scripts.library.errors import UserError  # noqa: E402
from sd_scripts.options.cli import parse  # noqa: E402
from sd_scripts.options.scripts import SCRIPTS  # noqa: E402

GB = 1e9


def main() -> int:
    """Exit code 0, also where memory ran out: that is a result. 2: an option or a file cannot be used."""
    asked, rest = arguments().parse_known_args()
    script = Path(asked.script).name
    try:
        options = parse(SCRIPTS[script], [word for word in rest if word != "--"], script)
        # After the options: they are read at once, and torch is not.
        from sd_scripts.library.train.trial import limit_memory, try_steps

        if asked.memory_gb:
            limit_memory(asked.memory_gb * GB)
        tried = try_steps(script, options, asked.steps)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    told = json.dumps(dataclasses.asdict(tried))
    if asked.result:
        Path(asked.result).write_text(told, encoding="utf-8")
    print(told)
    return 0


def arguments() -> argparse.ArgumentParser:
    """What stands before the training's own options."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("script", choices=[name for name in SCRIPTS if "train" in name or name == "fine_tune.py"])
    parser.add_argument("--steps", type=int, default=3, help="steps to measure after the first two (default: 3)")
    parser.add_argument("--memory_gb", type=float, help="a GPU has no more than this")
    parser.add_argument("--result", help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
