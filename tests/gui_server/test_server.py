"""Who reaches the page, where it listens, and that no torch comes with it."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import gui
from benchmarks.processes import cost_of
from kohya_gui.guard import Hosts
from kohya_gui.server import Page, choose_port, credentials, make_app
from kohya_gui.settings import ServerOptions
from sd_scripts.library.errors import BadOption
from sd_scripts.options.cli import parse

REPO = Path(__file__).resolve().parents[2]


def build(studio):
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.HTML("page")
    return blocks


def client(studio, host="127.0.0.1:7860", listen="127.0.0.1", allowed=(), login=None):
    async def made():
        return make_app(studio, Page(build), Hosts(listen, list(allowed)), login)

    # Within a running loop: where there is none, gradio makes one for every lock and leaves it open.
    # In a thread: in this one a browser's loop may still run, from tests before.
    with ThreadPoolExecutor(1) as thread:
        app = thread.submit(lambda: asyncio.run(made())).result()
    return TestClient(app, base_url=f"http://{host}")


@pytest.mark.parametrize(
    ("host", "listen", "allowed", "status"),
    [
        ("127.0.0.1:7860", "127.0.0.1", [], 200),
        ("localhost:7860", "127.0.0.1", [], 200),
        ("[::1]:7860", "127.0.0.1", [], 200),
        ("evil.example", "127.0.0.1", [], 403),
        ("127.0.0.1.evil.example", "127.0.0.1", [], 403),
        ("192.168.1.5:7860", "127.0.0.1", [], 403),
        ("192.168.1.5:7860", "0.0.0.0", [], 200),
        ("evil.example", "0.0.0.0", [], 403),
        ("studio.example", "127.0.0.1", ["studio.example"], 200),
    ],
)
def test_only_known_names_are_answered(studio, host, listen, allowed, status):
    assert client(studio, host, listen, allowed).get("/").status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:7860", 200),
        ("https://studio.example", 200),
        ("http://127.0.0.1:9999", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
def test_other_sites_are_refused(studio, origin, status):
    page = client(studio, allowed=["studio.example"])
    assert page.get("/config", headers={"Origin": origin}).status_code == status


def test_pictures_are_served_inside_the_roots_only(studio, tmp_path):
    for folder in ("home", "elsewhere"):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / folder / "a b.png")
    page = client(studio)
    good = page.get("/file", params={"path": str(tmp_path / "home" / "a b.png")})
    assert (good.status_code, good.headers["content-type"]) == (200, "image/png")
    assert page.get("/file", params={"path": str(tmp_path / "elsewhere" / "a b.png")}).status_code == 403
    assert page.get("/file", params={"path": "/etc/passwd"}).status_code == 403
    assert page.get("/gradio_api/file=/etc/passwd").status_code == 404


def test_without_the_password_nothing_is_shown(studio, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "home" / "a.png")
    path = {"path": str(tmp_path / "home" / "a.png")}
    page = client(studio, login=("user", "secret"))
    assert page.get("/config").status_code == 401
    assert page.get("/file", params=path).status_code == 401
    assert page.post("/login", data={"username": "user", "password": "wrong"}).status_code == 400
    assert page.post("/login", data={"username": "user", "password": "secret"}).status_code == 200
    assert page.get("/config").status_code == 200
    assert page.get("/file", params=path).status_code == 200


def test_a_password_is_made_wherever_others_could_come():
    assert credentials(ServerOptions()) is None
    for options in (ServerOptions(listen="0.0.0.0"), ServerOptions(share=True), ServerOptions(listen="192.168.1.5")):
        name, password = credentials(options)
        assert name == "user" and len(password) >= 16
    assert credentials(ServerOptions(password="x")) == ("user", "x")
    assert credentials(ServerOptions(listen="0.0.0.0", username="me", password="x")) == ("me", "x")


def test_a_taken_port_is_passed_over_or_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadOption, match=f"--server_port {port} is taken"):
            choose_port("127.0.0.1", port)
    assert choose_port("127.0.0.1", None) >= 7860
    with pytest.raises(BadOption, match="no address of this machine"):
        choose_port("203.0.113.7", None)


def test_options_of_the_page():
    options = parse(ServerOptions, ["--root", "/a", "--root", "/b", "--allowed_host", "x", "--headless"], "gui.py")
    assert (options.root, options.allowed_host, options.headless) == (["/a", "/b"], ["x"], True)
    with pytest.raises(BadOption, match="Must be 1 or more"):
        parse(ServerOptions, ["--server_port", "0"], "gui.py")


def test_the_page_starts_prints_where_it_is_and_brings_no_torch():
    code = "import sys, kohya_gui.server, kohya_gui.runs.worker; print(sorted({'torch'} & sys.modules.keys()))"
    seen = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
    assert cost_of([REPO / "gui.py", "--help"]).cpu_s < 2.0


def test_gui_serves_from_any_folder_and_ends_cleanly(tmp_path):
    argv = [
        sys.executable,
        str(REPO / "gui.py"),
        "--headless",
        "--runs_dir",
        str(tmp_path / "runs"),
        "--root",
        str(tmp_path),
    ]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as server:
        line = server.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert url, line + server.stdout.read()
        answer = httpx.get(url[0], headers={"Accept-Encoding": "gzip"})
        assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
        server.terminate()
        server.stdout.read()
    assert server.returncode in (0, -15, 143)


def test_a_wrong_root_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gui.py", "--headless", "--root", str(tmp_path / "nowhere")])
    assert gui.main() == 2
    assert "there is no folder" in capsys.readouterr().err
