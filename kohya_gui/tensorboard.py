"""TensorBoard: one server for each folder of logs, on a free loopback port, found again by the next page.

Everybody on this machine, and every site in its browser, reaches that port: so it answers only below a secret path.
"""

import http.client
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from kohya_gui import board
from kohya_gui.words import refusal
from sd_scripts.library import systems
from sd_scripts.library.io.atomic import write_json
from sd_scripts.library.systems import ProcessId

HOST = "127.0.0.1"
START_S = 60.0


@dataclass(frozen=True)
class Server:
    """A running TensorBoard."""

    logdir: str
    port: int
    pid: int
    created_s: float
    secret: str = ""

    @property
    def process(self) -> ProcessId:
        """Its process."""
        return ProcessId(self.pid, self.created_s)

    @property
    def url(self) -> str:
        """Where it answers."""
        return _address(self.port, self.secret)


class TensorBoards:
    """Starts and stops them. Which ones run stands in a file, so that they are found again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, logdir: Path) -> Server:
        """The one of a folder, started where there is none; returns when it answers. Errors: BadOption."""
        with self._lock:
            running = self._running()
            there = next((one for one in running if one.logdir == str(logdir)), None)
            if there:
                return there
            logdir.mkdir(parents=True, exist_ok=True)
            server = self._launch(logdir)
            self._write([*running, server])
            return server

    def status(self, logdir: Path | None) -> Server | None:
        """The one of a folder; of no folder, the newest one."""
        with self._lock:
            found = [one for one in self._running() if logdir is None or one.logdir == str(logdir)]
        return found[-1] if found else None

    def running(self) -> list[Server]:
        """All that run."""
        with self._lock:
            return self._running()

    def stop(self, logdir: Path | None) -> None:
        """Ends the one of a folder; of no folder, all."""
        with self._lock:
            running = self._running()
            for server in running:
                if logdir is None or server.logdir == str(logdir):
                    self._end(server.process)
                    running = [one for one in running if one != server]
            self._write(running)

    def _launch(self, logdir: Path) -> Server:
        port, secret = systems.free_port(), secrets.token_urlsafe(24)
        log = self.path.with_suffix(".log")
        argv = [sys.executable, board.__file__, "--logdir", str(logdir), "--host", HOST, "--port", str(port)]
        # Commands are shown to everybody on a machine, environments are not.
        child = systems.start_detached(argv, output=log, env={**os.environ, board.SECRET: secret})
        self._children[child.pid] = child
        process = systems.identify(child.pid)
        deadline = time.monotonic() + START_S
        while process and not _answers(port, secret):
            if child.poll() is not None or time.monotonic() > deadline:
                self._end(process)
                raise refusal("logdir", "tensorboard.failed", log=log)
            time.sleep(0.1)
        if process is None:
            raise refusal("logdir", "tensorboard.failed", log=log)
        return Server(str(logdir), port, process.pid, process.created_s, secret)

    def _end(self, process: ProcessId) -> None:
        systems.stop_tree(process, grace_s=3.0)
        child = self._children.pop(process.pid, None)
        if child:
            child.wait()

    def _running(self) -> list[Server]:
        # Those of ours that have ended by themselves are collected here, or they would stay as zombies.
        self._children = {pid: child for pid, child in self._children.items() if child.poll() is None}
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))["servers"]
        except (OSError, ValueError, KeyError):
            return []
        return [server for server in (Server(**one) for one in kept) if systems.is_alive(server.process)]

    def _write(self, servers: list[Server]) -> None:
        write_json(self.path, {"servers": [asdict(server) for server in servers]})


def _address(port: int, secret: str) -> str:
    return f"http://{HOST}:{port}/{secret}/" if secret else f"http://{HOST}:{port}/"


def _answers(port: int, secret: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", f"/{secret}/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
