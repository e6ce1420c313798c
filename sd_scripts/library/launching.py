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
from contextlib import suppress
from typing import Any, NoReturn

from sd_scripts.library import systems
from sd_scripts.library.errors import BadOption, UserError

ADVICE = "Perhaps memory ran out. What was saved or made is kept: go on from there."
# What starts several processes by itself; without any of these the launcher starts one, whatever number it is given.
_WAYS = ("multi_gpu", "tpu", "use_deepspeed", "use_fsdp", "use_megatron_lm", "mpirun_hostfile")
# At each start it lists defaults that were not given to it. The scripts decide these themselves.
_NOT_GIVEN = "`accelerate launch`"

# With these a process ends that hears no stop signal yet; the last is Windows' own, for Ctrl+C.
_UNHEARD = (-signal.SIGTERM, -signal.SIGINT, 0xC000013A)


class Stops:
    """Takes stop signals from now on, and passes them on to what was started here.

    Before anything may have been started, one ends this process where it stands: packages that are being read in do not
    take an exception well, and there is nothing to tidy up.
    """

    def __init__(self) -> None:
        self.asked = self.begun = False
        systems.hear_stops(self.pass_on)

    def pass_on(self, number: int, frame: Any) -> None:
        """Asks what was started here to stop; leaves where nothing is."""
        self.asked = True
        if not self.begun:
            _say_stopped()
            os._exit(0)
        if not systems.ask_children_to_stop():
            self.end_if_asked()

    def end_if_asked(self) -> None:
        """Leaves where a stop came: what heard it was no process of the work, but one that looked at the machine."""
        if self.asked:
            _say_stopped()
            raise SystemExit(0)


def launch(stops: Stops) -> int:
    """Starts what the command line says, waits for it, and gives its exit code."""
    # It reads in torch, for seconds.
    from accelerate.commands import launch as accelerate_launch
    from torch.distributed.elastic.multiprocessing import api
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    _end_after_looks(accelerate_launch, stops)
    # It would put a handler of its own in place of ours, which ends all at once.
    api._terminate_process_handler = stops.pass_on
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("accelerate.commands.launch").addFilter(_is_news)
    parser = accelerate_launch.launch_command_parser()
    parser.error = _refuse
    asked = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="launch-", ignore_cleanup_errors=True) as room:
            asked = as_asked(asked, room)
            stops.begun = True
            stops.end_if_asked()
            accelerate_launch.launch_command(asked)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        return _failed(f"process {rank + 1}", failure.exitcode, stops.asked)
    except subprocess.CalledProcessError as error:
        return _failed("the process", error.returncode, stops.asked)
    except (UserError, ValueError, OSError, ImportError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def _refuse(said: str) -> NoReturn:
    """What argparse would say after all of accelerate's options."""
    if "training_script" in said:
        said = "no script to start is named. Name one behind the launcher's options, and its own options behind that."
    print(f"Error: {said}", file=sys.stderr)
    raise SystemExit(2)


def as_asked(asked: argparse.Namespace, room: str) -> argparse.Namespace:
    """The launcher's options, with what starts so many processes as are asked for; `room`: a folder for its notes.

    Errors: BadOption.
    """
    if not (asked.module or asked.no_python or os.path.isfile(asked.training_script)):
        sentence = "there is no such script. Name one behind the launcher's options."
        raise BadOption("training_script", f"{asked.training_script}: {sentence}")
    if asked.num_processes is not None and asked.num_processes < 1:
        sentence = "at least one process does the work. Give their number, or leave it out."
        raise BadOption("num_processes", f"--num_processes {asked.num_processes}: {sentence}")
    if asked.cpu:
        # Several processes on processors are started as those on GPUs are, where none of them finds a GPU.
        os.environ.update(ACCELERATE_USE_CPU="true", CUDA_VISIBLE_DEVICES="")
    if (asked.num_processes or 1) > 1 and not any(getattr(asked, way) for way in _WAYS):
        asked.cpu, asked.multi_gpu = False, True
    if _port_is_open(asked):
        # Else it is 29500 for all, and the second run on a machine begins with a warning, or fails with the first.
        asked.main_process_port = systems.free_port()
    # Else it ends with 1 whatever became of the script. How that failed is told here, in words of our own.
    asked.quiet = False
    # Else it makes a folder at each start, and leaves it behind.
    asked.log_dir = asked.log_dir or room
    return asked


def _port_is_open(asked: argparse.Namespace) -> bool:
    """Whether one machine works, by which nobody has named a port: neither here nor in the settings of accelerate."""
    from accelerate.commands.config.config_args import load_config_from_file

    settings: dict[str, Any] = {}
    # There may be none; what is wrong with them, the launcher says itself.
    with suppress(Exception):
        settings = vars(load_config_from_file(asked.config_file))
    machines = asked.num_machines or settings.get("num_machines", 1)
    return machines == 1 and asked.main_process_port is None and settings.get("main_process_port") is None


def _end_after_looks(accelerate_launch: Any, stops: Stops) -> None:
    """Several processes are started after a look at the GPUs, by nvidia-smi: a stop may come just then."""
    look = accelerate_launch.check_cuda_p2p_ib_support

    def looked() -> bool:
        found = bool(look())
        stops.end_if_asked()
        return found

    accelerate_launch.check_cuda_p2p_ib_support = looked


def _say_stopped() -> None:
    print("Stopped as asked.", file=sys.stderr, flush=True)


def _failed(process: str, code: int, stop_asked: bool) -> int:
    """The exit code where a process failed. A script has said why itself, unless it was killed."""
    if stop_asked and code in _UNHEARD:
        _say_stopped()
        return 0
    if code < 0:
        killed = signal.Signals(-code).name
        print(f"Error: {process} was ended from outside ({killed}). {ADVICE}", file=sys.stderr)
    return max(code, 0) or 1


def _is_news(record: logging.LogRecord) -> bool:
    return _NOT_GIVEN not in record.getMessage()
