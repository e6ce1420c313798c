"""The one place where Linux, macOS and Windows differ: processes, paths, quoting, the browser.

Standard library only at import time, so that the installer can use it before anything is installed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    import psutil

WINDOWS = os.name == "nt"
MAC = sys.platform == "darwin"
LINUX = sys.platform.startswith("linux")

Shell = Literal["sh", "cmd"]


# Processes


@dataclass(frozen=True)
class ProcessId:
    """A process for good: numbers are given out again, the pair of number and start time is not."""

    pid: int
    created_s: float
    """Seconds since 1970."""


# A system clock that is put right moves every start time a little; a number is not given out again so soon.
_SAME_START_S = 5.0
_POLL_S = 0.05
_KILL_S = 10.0


def identify(pid: int) -> ProcessId | None:
    """The living process of this number, or None."""
    import psutil

    try:
        process = psutil.Process(pid)
        return ProcessId(pid, process.create_time()) if _lives(process) else None
    except psutil.Error:  # gone, or the number now belongs to someone else's process
        return None


def is_alive(process: ProcessId) -> bool:
    """Whether it still runs. One that has ended and waits to be collected by its parent does not."""
    now = identify(process.pid)
    return now is not None and abs(now.created_s - process.created_s) < _SAME_START_S


def start_detached(
    argv: Sequence[str], *, output: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one; what it prints is appended to `output`."""
    with output.open("ab") as log:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
            **_own_session(),
        )


def stop_tree(process: ProcessId, *, grace_s: float = 10.0) -> bool:
    """Ask a process and all it started to end; what is left after `grace_s` seconds is killed.

    Of a process from `start_detached`, also those are found whose parents have ended already (not on Windows).
    The caller collects the exit code, as always. False where something could not even be killed: a process that
    hangs in a driver ends only when the driver lets it.
    """
    members = _tree(process)
    for member in members:
        _ask_to_end(member)
    deadline = time.monotonic() + grace_s
    while any(_lives(member) for member in members) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    # Again and again: a process may have started another while it was being ended.
    deadline = time.monotonic() + _KILL_S
    while left := [member for member in {*members, *_tree(process)} if _lives(member)]:
        if time.monotonic() > deadline:
            return False
        for member in left:
            _kill(member)
        time.sleep(_POLL_S)
    return True


def end_with_parent() -> None:
    """From now on this process ends within seconds of the one that started it, however that ended."""
    parent = identify(os.getppid())

    def look() -> None:
        while parent is not None and is_alive(parent):
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=look, daemon=True, name="parent").start()


def stop_signals() -> list[signal.Signals]:
    """Those that this system has: Ctrl+C, that of the system's end, that of a closed terminal, and Ctrl+Break."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def hear_stops(handler: Callable[[int, Any], None]) -> None:
    """Has stop signals call `handler` from now on, but that of a closed terminal where it is ignored already (nohup).

    A shell that starts a program beside itself has it ignore Ctrl+C; who sends that signal to it all the same means it.
    """
    for number in stop_signals():
        if not (number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
            signal.signal(number, handler)


def ask_children_to_stop() -> bool:
    """Asks the processes that this one has started, not those that they have. Returns whether there are any."""
    import psutil

    children = psutil.Process().children()
    # On Windows the console has told them already. Elsewhere Ctrl+C may have: SIGTERM is no second Ctrl+C to them.
    for child in children if not WINDOWS else []:
        with contextlib.suppress(psutil.Error, OSError):
            child.send_signal(signal.SIGTERM)
    return bool(children)


_LAUNCHERS = ("launch.py", "accelerate", "torchrun", "torch.distributed.run", "torch.distributed.launch", "deepspeed")


def launcher_above() -> Callable[[], bool] | None:
    """Whether the launcher that started this process still lives, as a question; None without a launcher."""
    import psutil

    try:
        parent = psutil.Process(os.getppid())
        words = [Path(word).name for word in parent.cmdline()[:4]]
    except (psutil.Error, OSError):
        return None
    process = identify(parent.pid)
    if process is None or not any(word.startswith(_LAUNCHERS) for word in words):
        return None
    return lambda: is_alive(process)


def hand_over(argv: Sequence[str]) -> NoReturn:
    """Become this command: its exit code is ours, and Ctrl+C goes to it."""
    sys.stdout.flush()
    sys.stderr.flush()
    if not WINDOWS:
        os.execv(argv[0], list(argv))
    with subprocess.Popen(list(argv)) as process:
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the console has told the command as well
                sys.exit(process.wait())


def _own_session() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _tree(process: ProcessId) -> list[psutil.Process]:
    """The process, its descendants, and the rest of its session, as far as they live."""
    import psutil

    found = {}
    try:
        root = psutil.Process(process.pid)
        if abs(root.create_time() - process.created_s) >= _SAME_START_S:
            return []
        found = {member.pid: member for member in [root, *root.children(recursive=True)]}
    except psutil.NoSuchProcess:
        pass
    if not WINDOWS:
        found |= {m.pid: m for m in psutil.process_iter() if _session_of(m.pid) == process.pid}
    return [member for member in found.values() if _lives(member)]


def _session_of(pid: int) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ask_to_end(process: psutil.Process) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        if sys.platform == "win32":
            # terminate() is a kill there. A console break can be caught, but reaches only leaders of a group
            # in our console; the others are killed when their time is over.
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            process.terminate()


def _kill(process: psutil.Process) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


# Commands as text


def command_text(argv: Sequence[str], shell: Shell) -> str:
    """The command as text that can be pasted into a terminal: sh, or Windows' cmd.

    Raises ValueError where cmd cannot say it: it ends a command at a line break, quoted or not.
    """
    return _QUOTERS[shell](argv)


_PLAIN_IN_CMD = re.compile(r"[\w.:/\\=,+@~-]+")
_MEANS_SOMETHING_IN_CMD = re.compile(r'[()%!^"<>&|]')


def _cmd_text(argv: Sequence[str]) -> str:
    if any(c in arg for arg in argv for c in "\r\n"):
        raise ValueError("A command with a line break in it cannot be written for cmd; remove the line break.")
    return " ".join(_cmd_quoted(arg) for arg in argv)


def _cmd_quoted(arg: str) -> str:
    if _PLAIN_IN_CMD.fullmatch(arg):
        return arg
    # What the program's own argument parser needs: quotes escaped, and backslashes doubled before a quote.
    quoted = '"' + re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), arg) + '"'
    # Quotes do not stop cmd from reading %NAME%, and an inner quote would end them: then a caret goes
    # before every character that cmd knows, the quotes included.
    return _MEANS_SOMETHING_IN_CMD.sub(r"^\g<0>", quoted) if {'"', "%"} & set(arg) else quoted


_QUOTERS = {"sh": shlex.join, "cmd": _cmd_text}

# cmd reads no more than this of a line, continued lines included.
_LONGEST_CMD_LINE = 8191


def script_text(argv: Sequence[str], shell: Shell) -> str:
    """The command as a file that a terminal runs: for sh, or a .bat for Windows, one option a line.

    Raises ValueError where cmd cannot say it: a line break within, or too long for a line of cmd.
    """
    return _SCRIPTS[shell](argv)


def _sh_script(argv: Sequence[str]) -> str:
    return "#!/bin/sh\nexec " + " \\\n  ".join(shlex.join(words) for words in _by_option(argv)) + "\n"


def _cmd_script(argv: Sequence[str]) -> str:
    _cmd_text(argv)
    lines = [" ".join(_quoted_in_batch(word) for word in words) for words in _by_option(argv)]
    if len(" ".join(lines)) > _LONGEST_CMD_LINE:
        raise ValueError(f"The command is longer than the {_LONGEST_CMD_LINE} characters that cmd reads of a line.")
    head = ["@echo off", "setlocal DisableDelayedExpansion"]
    if not all(map(str.isascii, lines)):
        # UTF-8, as which the file is written.
        head.append("chcp 65001 >nul")
    return "\r\n".join([*head, " ^\r\n  ".join(lines), "exit /b %ERRORLEVEL%", ""])


def _quoted_in_batch(arg: str) -> str:
    """As `_cmd_quoted`, in a file: there a percent sign is written twice, and no caret helps."""
    return _cmd_quoted(arg).replace("^%", "%").replace("%", "%%")


def _by_option(argv: Sequence[str]) -> list[list[str]]:
    """The words of a command, those of an option together."""
    lines: list[list[str]] = []
    for word in argv:
        if not lines or word.startswith("--"):
            lines.append([])
        lines[-1].append(word)
    return lines


_SCRIPTS = {"sh": _sh_script, "cmd": _cmd_script}


# Paths


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if WINDOWS else "bin/python")


def user_data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where programs of this system keep a user's data; ours make a folder of their own in it."""
    if WINDOWS:
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if MAC:
        return Path.home() / "Library" / "Application Support"
    named = Path(environ.get("XDG_DATA_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".local" / "share"


def raise_open_files(wanted: int) -> int:
    """Lets this process have `wanted` files and connections open, if the system does; gives how many it may have."""
    if WINDOWS:
        return wanted  # there is no such limit
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            return allowed
    return wanted if soft == resource.RLIM_INFINITY else soft


# The browser


def has_display(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a browser window can open here: not over ssh, and on Linux only in a graphical session."""
    if LINUX:
        return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    return not environ.get("SSH_CONNECTION")


def open_browser(url: str) -> bool:
    """Open the page in the user's browser; False where that was not possible."""
    return has_display() and webbrowser.open(url)


def chromium_places() -> list[str]:
    """Names and paths under which Chromium or Chrome is installed on this system, best first."""
    if WINDOWS:
        roots = [os.environ.get(name, "") for name in ("ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA")]
        return [str(Path(root, "Google/Chrome/Application/chrome.exe")) for root in roots if root]
    if MAC:
        return [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome")]
    return ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
