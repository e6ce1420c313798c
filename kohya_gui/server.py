"""The web server of the page: routes, who may reach it, the port, the address that is printed."""

import os
import secrets
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before gradio is imported: no request leaves this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from starlette.middleware.gzip import GZipMiddleware

from kohya_gui.answers import Answers, Policy
from kohya_gui.api import Studio
from kohya_gui.guard import Guard, Hosts, Scope, is_loopback
from kohya_gui.limits import Limits, Patient, most_connections
from kohya_gui.login import Login
from kohya_gui.relay import add_relay
from kohya_gui.settings import ServerOptions
from sd_scripts.library import systems
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.errors import BadOption, UserError

DEFAULT_PORT = 7860
PORTS_TRIED = 100
FOLDER_NAME = "sd-trainer"
MOST_SESSIONS = 300
WHILE_WAITING = (
    "After several wrong tries, the answer takes longer each time.<br>何度か間違えると、そのたびに返事が遅くなります。"
)
"""Stands in the form for the password, which says nothing while a try has to wait."""


@dataclass(frozen=True)
class Page:
    """How the page is drawn, with its named endpoints; what mounting it takes (theme, head); and its scripts."""

    build: Callable[[Studio], gr.Blocks]
    looks: dict[str, Any] = field(default_factory=dict)
    script: str = ""


def serve(options: ServerOptions, repo: Path, page: Page) -> None:
    """Serves the page until it is interrupted. Errors: BadOption, for a port or a folder that cannot be used."""
    studio = make_studio(options, repo)
    login = credentials(options)
    port = choose_port(options.listen, options.server_port)
    hosts = Hosts(options.listen, options.allowed_host)
    server = uvicorn.Server(_config(make_app(studio, page, hosts, login, options.root_path), options.listen, port))
    # Ended by the system, the page closes as it does at Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _running(server), studio.open():
        url = f"http://{_shown_host(options.listen)}:{port}{options.root_path}/"
        print(f"The page is at {url}", flush=True)
        if login and options.password is None:
            print(f"Log in as {login[0]} with the password {login[1]}", flush=True)
        if options.share:
            print(f"On the internet it is at {share(port, hosts)}", flush=True)
        if options.inbrowser and not options.headless:
            systems.open_browser(url)
        _wait(server)


def make_studio(options: ServerOptions, repo: Path) -> Studio:
    """The server side of the page. Errors: BadOption, for a root that is no folder."""
    runs_dir = Path(options.runs_dir or systems.user_data_folder() / FOLDER_NAME / "runs").expanduser().absolute()
    for root in options.root:
        if not Path(root).expanduser().is_dir():
            raise BadOption("root", f"--root {root}: there is no folder of that name.")
    roots = [Path(root).expanduser() for root in options.root] or [Path.home()]
    try:
        _make_private(runs_dir, options.runs_dir is None)
    except OSError as error:
        raise BadOption(
            "runs_dir", f"--runs_dir {runs_dir} cannot be made: {error.strerror}. Choose another."
        ) from error
    return Studio(runs_dir, roots, repo / "presets", repo)


def _make_private(runs_dir: Path, ours: bool) -> None:
    """The folder of runs, closed to others of this machine where we make it. Errors: OSError; BadOption.

    Whoever writes into it says what is run, in the name of who opened the page.
    """
    runs_dir.parent.mkdir(parents=True, exist_ok=True)
    there = runs_dir.exists()
    runs_dir.mkdir(exist_ok=True, mode=0o700)
    if systems.WINDOWS:
        return
    if there and not ours and runs_dir.stat().st_mode & stat.S_IWOTH:
        sentence = f"--runs_dir {runs_dir}: everybody on this machine may write there, and so say what is run."
        raise BadOption("runs_dir", f"{sentence} Close it (chmod o-w), or choose another.")
    if ours:
        runs_dir.chmod(0o700)


def credentials(options: ServerOptions) -> tuple[str, str] | None:
    """Name and password, where they are asked for or needed; a password is made where none is given."""
    needed = options.share or not is_loopback(options.listen)
    if not (needed or options.username or options.password):
        return None
    return options.username or "user", options.password or secrets.token_urlsafe(12)


def choose_port(listen: str, named: int | None) -> int:
    """The port that was named, or the first free one. Errors: BadOption, when the named one is taken."""
    if named is not None:
        if not _is_free(listen, named):
            raise BadOption("server_port", f"--server_port {named} is taken by another program. Name another, or none.")
        return named
    for port in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        if _is_free(listen, port):
            return port
    last = DEFAULT_PORT + PORTS_TRIED - 1
    raise BadOption("server_port", f"No port from {DEFAULT_PORT} to {last} is free. Name one with --server_port.")


def make_app(
    studio: Studio, page: Page, hosts: Hosts, login: tuple[str, str] | None = None, root_path: str = ""
) -> FastAPI:
    """The application: the page, its scripts, the pictures of runs, and small ones of datasets."""
    blocks = _without_files(page.build(studio))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # The page is packed anew for every visit: level 5 makes 123 kB in 9 ms, the default of 9 makes 120 kB in 28 ms.
    app.add_middleware(Policy, head=page.looks.get("head", ""))
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)

    def welcome(scope: Scope) -> bool:
        cookies = (f"access-token-{inner.cookie_id}", f"access-token-unsecure-{inner.cookie_id}")
        held = Request(scope).cookies
        return login is None or any(held.get(cookie) in inner.tokens for cookie in cookies)

    # The one that is added last is asked first.
    app.add_middleware(Login)
    app.add_middleware(Limits)
    app.add_middleware(Guard, hosts=hosts, welcome=welcome)
    app.add_middleware(Answers)

    @app.get("/studio.js")
    def script() -> Response:
        # Its address names its content, so that a browser needs to ask only once.
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(page.script, media_type="text/javascript", headers=kept)

    @app.get("/file")
    def file(path: str) -> FileResponse:
        return FileResponse(_image(path), headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/thumbnail")
    def thumbnail(path: str) -> Response:
        picture = _image(path)
        try:
            data = studio.thumbnails.get(picture)
        except (UnreadableImage, OSError) as error:
            raise HTTPException(422, str(error)) from error
        # Its address names the picture's version, so it never changes.
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400, immutable"})

    add_relay(app, studio.boards)

    # mount_gradio_app gives the application's own lifespan to the page; routes added before it come first.
    gr.mount_gradio_app(
        app, blocks, path="/", auth=login, auth_message=WHILE_WAITING, root_path=root_path or None, ssr_mode=False,
        mcp_server=False, show_error=False, run_history=False, footer_links=[], **page.looks,
    )  # fmt: skip
    inner = app.routes[-1].app  # type: ignore[attr-defined]  # what was mounted last

    def _image(path: str) -> Path:
        try:
            return studio.roots.image(path)
        except UserError as error:
            raise HTTPException(403, str(error)) from error

    return app


def _without_files(blocks: gr.Blocks) -> gr.Blocks:
    """The page as it is needed: it takes no files, and Gradio remembers nothing of its visitors.

    Else Gradio copies, or downloads, whatever a caller's JSON describes as a file, and keeps 150 kB for each session.
    """

    async def as_it_is(named: str | None) -> str | None:
        return named

    for block in blocks.blocks.values():
        block.async_move_resource_to_block_cache = as_it_is
    blocks.state_session_capacity = MOST_SESSIONS
    return blocks


def _config(app: FastAPI, listen: str, port: int) -> uvicorn.Config:
    """How the server listens. What a header says of who asks is not believed: anybody can write it."""
    return uvicorn.Config(
        app, host=listen, port=port, log_level="warning", http=Patient, ws="none", proxy_headers=False,
        server_header=False, limit_concurrency=most_connections(),
    )  # fmt: skip


def share(port: int, hosts: Hosts) -> str:
    """Opens gradio's relay to the internet and allows its name. Errors: BadOption, when it does not answer."""
    from gradio import networking

    try:
        url: str = networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # the relay's client fails in many ways: no network, no download, no answer
        raise BadOption("share", f"--share: gradio's relay does not answer ({error}). Start without it.") from error
    hosts.allow(url)
    return url


def _is_free(listen: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family) as probe:
        if not systems.WINDOWS:
            # As the server itself does: a port that was just given back counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno in (99, 10049):
                raise BadOption("listen", f"--listen {listen} is no address of this machine.") from error
            return False
    return True


def _shown_host(listen: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)
    return f"[{host}]" if ":" in host else host


@contextmanager
def _running(server: uvicorn.Server) -> Iterator[None]:
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=5)


def _wait(server: uvicorn.Server) -> None:
    try:
        while not server.should_exit:
            threading.Event().wait(0.5)
    except KeyboardInterrupt:
        print("The page is closed. Runs go on.", flush=True)
