"""Of the many addresses that Gradio mounts, those that the page needs are answered; and its known holes are shut."""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI

from kohya_gui import ways
from kohya_gui.api import Studio
from kohya_gui.app import build
from kohya_gui.guard import Hosts
from kohya_gui.server import Page, make_app
from tests.door.conftest import Door
from tests.page import REPOSITORY

NEEDED = {
    "HEAD /", "GET /", "GET /theme.css", "GET /manifest.json", "GET /favicon.ico", "GET /assets/{path:path}",
    "GET /static/{path:path}", "GET /studio.js", "GET /poll", "GET /file", "GET /thumbnail", "GET /logout",
    "GET /config",
    "POST /login", "POST /login/", "GET /tensorboard/{port}/{path:path}", "POST /tensorboard/{port}/{path:path}",
    "GET /gradio_api/info", "GET /gradio_api/queue/data", "GET /gradio_api/heartbeat/{session_hash}",
    "GET /gradio_api/call/{api_name}/{event_id}", "POST /gradio_api/call/{api_name}",
    "POST /gradio_api/component_server", "POST /gradio_api/component_server/", "POST /gradio_api/queue/join",
}  # fmt: skip


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """(method, address) of every route there is, Gradio's own too."""
    folder = tmp_path_factory.mktemp("mounted")
    studio = Studio(folder / "runs", [folder], REPOSITORY / "presets", REPOSITORY)

    async def made() -> FastAPI:
        return make_app(studio, Page(build), Hosts("127.0.0.1", []), ("ann", "x"))

    with ThreadPoolExecutor(1) as thread:
        app = thread.submit(lambda: asyncio.run(made())).result()
    return sorted(set(routes(app)))


def routes(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if getattr(inner, "routes", None):
            yield from routes(inner)
        else:
            yield from ((method, route.path) for method in route.methods)


def filled(address: str) -> str:
    """An address with something at the places of its parameters."""
    return re.sub(r"\{\w+(:\w+)?\}", lambda found: "a/b" if found[1] else "12", address)


def test_only_what_is_needed_is_answered(door: Door, mounted: list[tuple[str, str]]) -> None:
    assert len(mounted) > 80, "Gradio's own are among them"
    known = {f"{method} {address}" for method, address in mounted if ways.is_known(method, filled(address))}
    assert known == NEEDED
    for method, address in mounted:
        if f"{method} {address}" not in NEEDED:
            answer = door.friend.request(method, filled(address), json={} if method == "POST" else None)
            assert answer.status_code == 404, f"{method} {address}"
            assert method == "HEAD" or answer.json() == {"error": "There is nothing at this address."}


def test_strangers_reach_the_form_for_the_password_only(door: Door, mounted: list[tuple[str, str]]) -> None:
    open_to_all = []
    for method, address in mounted:
        if f"{method} {address}" in NEEDED and "heartbeat" not in address:
            answer = door.guest.request(method, filled(address), json={} if method == "POST" else None)
            if answer.status_code != 401:
                open_to_all.append(f"{method} {address}")
    assert open_to_all == [
        "GET /", "GET /assets/{path:path}", "GET /favicon.ico", "GET /manifest.json", "GET /static/{path:path}",
        "GET /theme.css", "HEAD /", "POST /login", "POST /login/",
    ]  # fmt: skip
    assert door.guest.get("/gradio_api/heartbeat/x").status_code == 401


@pytest.mark.parametrize(
    "address",
    [
        "/gradio_api/file=/etc/passwd",  # CVE-2023-34239, -51449, 2024-1728
        "/file=/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:9/",  # an open redirect, issue 13608
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://169.254.169.254/",  # CVE-2024-1183, -2206, -4325, 2026-28416
        "/gradio_api/custom_component/x/client/../../../../etc/passwd",  # CVE-2024-47166
        "/gradio_api/upload",  # CVE-2024-47872, -10569: markup and bombs that stay on the server
        "/gradio_api/upload_progress?upload_id=x",
        "/monitoring",  # CVE-2024-47168
        "/monitoring/x",
        "/gradio_api/dev/reload",
        "/gradio_api/vibe-code",
        "/gradio_api/mcp/sse",
        "/gradio_api/run-history/records",
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/token",
        "/gradio_api/openapi.json",
        "/openapi.json",
        "/login/huggingface?_target_url=////evil.test",  # CVE-2026-27167, -28415
        "/login/callback",
        "/svelte/../../../../etc/passwd",
        "/static/../../../../../../etc/passwd",  # CVE-2026-28414
        "/static//etc/passwd",
        "/static/C:/windows/win.ini",
        "/static/..%2f..%2f..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/%252e%252e/etc/passwd",
        "/assets/..\\..\\etc\\passwd",
        "/assets/.env",
        "/static/a%00.js",
        "/config/",
        "/CONFIG",
        "//config",
        "/./config",
        "/tensorboard/6006/../../config",
        "/tensorboard/x/",
        "/tensorboard/6006@evil.test/",
        "http://169.254.169.254/latest/",
    ],
)
def test_known_holes_of_gradio_and_crooked_addresses_lead_nowhere(door: Door, address: str) -> None:
    with socket.create_connection(("127.0.0.1", door.port)) as line:
        cookies = "; ".join(f"{name}={value}" for name, value in door.friend.cookies.items())
        line.sendall(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\nCookie: {cookies}\r\n\r\n".encode())
        answer = line.recv(10_000)
    assert re.match(rb"HTTP/1.1 40[04] ", answer), answer[:200]
    assert b"root:" not in answer and b"location:" not in answer.lower()


@pytest.mark.parametrize(
    "name", ["__init__", "get_config", "postprocess", "move_resource_to_block_cache", "_call", "", 5]
)
def test_of_a_component_nothing_but_its_own_function_is_called(door: Door, name: object) -> None:
    """CVE-2024-1561: any method of any component could be called, and so copied files to where they were served."""
    answer = door.friend.post(
        "/gradio_api/component_server/", json={**door.asked(["info", {}]), "fn_name": name, "data": "/etc/passwd"}
    )
    assert answer.status_code in (400, 404, 500) and "root:" not in answer.text


@pytest.mark.parametrize(
    "data", [5, None, "x", [], ["info"], [["info"], {}], ["info", 5], ["__init__", {}], ["call", {}]]
)
def test_a_call_that_is_none_is_answered_with_a_sentence(door: Door, data: object) -> None:
    answer = door.friend.post("/gradio_api/component_server/", json=door.asked(data))
    assert answer.status_code == 200 and "error" in answer.json()


def answered(far: socket.socket, asked: list[bytes]) -> None:
    """Takes what is asked of a server; nobody asks when it is closed."""
    with contextlib.suppress(OSError):
        asked.append(far.accept()[0].recv(99))


def test_what_is_described_as_a_file_is_neither_copied_nor_fetched(door: Door) -> None:
    """CVE-2024-4941, -47167, -47868: Gradio takes such JSON for a file, copies or downloads it, and gives it out."""
    asked: list[bytes] = []
    secret = door.folder / "secret of nobody.txt"
    secret.write_text("swordfish")
    with socket.create_server(("127.0.0.1", 0)) as far:
        threading.Thread(target=answered, args=(far, asked), daemon=True).start()
        place = f"http://127.0.0.1:{far.getsockname()[1]}/x"
        for path, url in ((str(secret), None), (place, place), (place, None), ("/etc/passwd", place)):
            file = {"path": path, "url": url, "meta": {"_type": "gradio.FileData"}}
            for args in (file, {"path": file}, {"path": ".", "kind": [file]}):
                event = door.friend.post("/gradio_api/call/browse", json={"data": [args]}).json()["event_id"]
                answer = door.friend.get(f"/gradio_api/call/browse/{event}").text
                assert "error" in answer and "swordfish" not in answer
        assert asked == []
    assert not [path for path in Path(gr.utils.get_upload_folder()).glob("**/*") if path.name == secret.name]


def test_the_documented_ways_work(door: Door) -> None:
    """What the page does not use and programs may: /call, in two steps."""
    event = door.friend.post("/gradio_api/call/info", json={"data": [{}]}).json()["event_id"]
    assert str(door.home) in door.friend.get(f"/gradio_api/call/info/{event}").text
