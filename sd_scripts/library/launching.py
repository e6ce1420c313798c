"""accelerate's launcher, told what makes it do what was asked for: as many processes as that, and no words of its own.

Called by sd_scripts/launch.py, whose command line is the launcher's.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from sd_scripts.library.errors import BadOption, UserError

ADVICE = "Perhaps memory ran out. What was saved or made is kept: go on from there."
# What starts several processes by itself; without any of these the launcher starts one, whatever number it is given.
_WAYS = ("multi_gpu", "tpu", "use_deepspeed", "use_fsdp", "use_megatron_lm", "mpirun_hostfile")
# At each start it lists defaults that were not given to it. The scripts decide these themselves.
_NOT_GIVEN = "`accelerate launch`"


def launch(pass_on: Callable[[int, Any], None]) -> int:
    """Starts what the command line says, waits for it, and gives its exit code. `pass_on`: takes a stop signal."""
    from accelerate.commands import launch as accelerate_launch
    from torch.distributed.elastic.multiprocessing import api
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # It would put a handler of its own in place of ours, which ends all at once.
    api._terminate_process_handler = pass_on
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("accelerate.commands.launch").addFilter(_is_news)
    asked = accelerate_launch.launch_command_parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="launch-", ignore_cleanup_errors=True) as room:
            accelerate_launch.launch_command(as_asked(asked, room))
    except ChildFailedError as error:
        return _failed(error)
    except subprocess.CalledProcessError as error:
        return max(error.returncode, 0) or 1
    except (UserError, ValueError, ConnectionError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def as_asked(asked: argparse.Namespace, room: str) -> argparse.Namespace:
    """The launcher's options, with what starts so many processes as are asked for; `room`: a folder for its notes.

    Errors: BadOption.
    """
    if asked.num_processes is not None and asked.num_processes < 1:
        sentence = "at least one process does the work. Give their number, or leave it out."
        raise BadOption("num_processes", f"--num_processes {asked.num_processes}: {sentence}")
    if asked.cpu:
        # Several processes on processors are started as those on GPUs are, where none of them finds a GPU.
        os.environ.update(ACCELERATE_USE_CPU="true", CUDA_VISIBLE_DEVICES="")
    if (asked.num_processes or 1) > 1 and not any(getattr(asked, way) for way in _WAYS):
        asked.cpu, asked.multi_gpu = False, True
    # Else it makes a folder at each start, and leaves it behind.
    asked.log_dir = asked.log_dir or room
    return asked


def _failed(error: Any) -> int:
    """The exit code of the first process that failed. A script has said why itself, unless it was killed."""
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:
        killed = signal.Signals(-failure.exitcode).name
        print(f"Error: process {rank + 1} was ended from outside ({killed}). {ADVICE}", file=sys.stderr)
    return max(failure.exitcode, 0) or 1


def _is_news(record: logging.LogRecord) -> bool:
    return _NOT_GIVEN not in record.getMessage()
