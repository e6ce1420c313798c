"""A page with a password, met from outside: by raw requests, logged in and not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from sd_scripts.library.systems import free_port
from tests.page import REPOSITORY

NAME, PASSWORD = "ann", "open sesame 7"


@dataclass
class Door:
    """The server. `guest` has not logged in, `friend` has."""

    folder: Path
    port: int
    process: subprocess.Popen[str]
    guest: httpx.Client
    friend: httpx.Client
    component: int = 0

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def runs_dir(self) -> Path:
        return self.folder / "runs"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_mb(self) -> float:
        """What the server holds now."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)

    def ask(self, name: str, /, client: httpx.Client | None = None, **args: object) -> httpx.Response:
        """Calls an endpoint as the page does."""
        return (client or self.friend).post("/gradio_api/component_server/", json=self.asked([name, args]))

    def asked(self, data: object) -> dict[str, object]:
        """What the page sends for a call."""
        return {"data": data, "component_id": self.component, "session_hash": "tab", "fn_name": "call"}


@pytest.fixture(scope="package")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder, port = tmp_path_factory.mktemp("door"), free_port()
    (folder / "home").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "home" / "p.png")
    argv = ["gui.py", "--server_port", str(port), "--headless", "--runs_dir", str(folder / "runs")]
    argv += ["--root", str(folder / "home"), "--username", NAME, "--password", PASSWORD]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(folder / "home")}
    process = subprocess.Popen(
        [sys.executable, *argv], cwd=REPOSITORY, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout and "The page is at" in process.stdout.readline()
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=60) as guest, httpx.Client(base_url=url, timeout=60) as friend:
        door = Door(folder, port, process, guest, friend)
        assert friend.post("/login", data={"username": NAME, "password": PASSWORD}).status_code == 200
        parts = friend.get("/config").json()["components"]
        door.component = next(part["id"] for part in parts if part["type"] == "html")
        yield door
        assert guest.get("/").status_code == 200, "after all of it, it still answers"
    process.terminate()
    said = process.stdout.read()
    process.wait(timeout=20)
    process.stdout.close()
    # The secret is told to nobody; what others got wrong is told without what they typed.
    assert PASSWORD not in said and "swordfish" not in said, said
