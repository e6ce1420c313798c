"""What tools/try_steps.py does: checks what was asked, tries the steps, and tells their figures as JSON."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import check_writable, write_text
from sd_scripts.options.cli import parse
from sd_scripts.options.fit import TryOptions
from sd_scripts.options.scripts import SCRIPTS


def tell_steps(asked: TryOptions, words: Sequence[str]) -> None:
    """Prints the figures of the steps, or of the device, and writes them where it is asked for. Errors: UserError."""
    if words and not asked.script:
        raise BadOption("script", "Options of a training stand after the --, but no script before it: name the script.")
    if asked.room and not Path(asked.room).is_dir():
        raise BadOption("room", f"--room {asked.room}: there is no such folder. Make it, or leave --room out.")
    if asked.result:
        check_writable(Path(asked.result))
    told = json.dumps(_figures(asked, words))
    if asked.result:
        write_text(Path(asked.result), told)
    print(told)


def _figures(asked: TryOptions, words: Sequence[str]) -> dict[str, object]:
    options = parse(SCRIPTS[asked.script], list(words), asked.script) if asked.script else None
    # After the options, which are read at once: torch is not.
    from sd_scripts.library.train.trial import device_facts, limit_memory, try_steps

    if options is None or asked.script is None:
        return device_facts()
    if asked.memory_gb is not None:
        limit_memory(asked.memory_gb * 1e9)
    return dataclasses.asdict(try_steps(asked.script, options, asked.steps, asked.room))
