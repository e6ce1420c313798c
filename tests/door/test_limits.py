"""Too much, too deep, too slow, too many: it is refused, the page answers on, and its memory stays bounded."""

import contextlib
import json
import socket
import time
import types
import typing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kohya_gui import limits
from kohya_gui.limits import LARGEST_BODY_BYTES, LARGEST_LOGIN_BYTES
from kohya_gui.server import MOST_SESSIONS
from tests.door.arguments import everywhere, usual
from tests.door.conftest import Door

MOST_MORE_MB = 300
"""Lists within lists, ten megabytes of them, take Python 240 MB for a moment."""
CALL = "/gradio_api/component_server/"


@pytest.fixture(autouse=True)
def answers_on(door: Door) -> Iterator[None]:
    """Whatever is sent, the next visitor is answered at once, and little more memory is held than before."""
    before_mb = door.memory_mb()
    yield
    begun = time.monotonic()
    assert door.guest.get("/").status_code == 200
    assert time.monotonic() - begun < 10
    assert door.memory_mb() < before_mb + MOST_MORE_MB


@contextlib.contextmanager
def line_to(door: Door, head: str) -> Iterator[socket.socket]:
    """A connection on which a POST of a friend has begun."""
    cookies = "; ".join(f"{name}={value}" for name, value in door.friend.cookies.items())
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as line:
        line.sendall(f"POST {CALL} HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\nCookie: {cookies}\r\n{head}\r\n".encode())
        yield line


@pytest.mark.parametrize("more", ["Content-Type: application/json\r\nContent-Length: 100000000000\r\n"])
def test_a_body_that_says_to_be_huge_is_not_waited_for(door: Door, more: str) -> None:
    with line_to(door, more) as line:
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_without_an_end_is_cut_off(door: Door) -> None:
    with line_to(door, "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n") as line:
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 20 * LARGEST_BODY_BYTES:
                line.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
    assert LARGEST_BODY_BYTES < sent < 5 * LARGEST_BODY_BYTES


def test_strangers_may_send_a_name_and_a_password_only(door: Door) -> None:
    huge = b"x" * (LARGEST_LOGIN_BYTES + 1)
    assert door.guest.post("/login", content=huge).status_code == 413
    before_mb = door.memory_mb()
    for _ in range(5):
        with contextlib.suppress(OSError):
            assert door.guest.post(CALL, content=b"[" * 9_000_000, headers=_JSON).status_code == 401
    assert door.memory_mb() < before_mb + 20, "it is not even received"


_JSON = {"Content-Type": "application/json"}
DEEP = b"[" * 2_000_000 + b"]" * 2_000_000
BODIES = {
    "deep": DEEP,
    "deep argument": b'{"data": ["browse", {"path": '
    + DEEP
    + b'}], "component_id": 1, "session_hash": "", "fn_name": "call"}',
    "never closed": b'{"a":' * 1_500_000,
    "a number of a million digits": b'{"data": ' + b"9" * 1_000_000 + b"}",
    "not UTF-8": b'{"data": "\xff\xfe"}',
    "empty": b"",
    "only spaces": b" " * 9_000_000,
    "a name twice, a million times": b"{" + b'"data": 1,' * 800_000 + b'"data": 1}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", [CALL, "/gradio_api/queue/join", "/gradio_api/call/browse"])
def test_a_crooked_body_is_refused(door: Door, name: str, path: str) -> None:
    answer = door.friend.post(path, content=BODIES[name], headers=_JSON)
    assert answer.status_code in (400, 404, 413, 422, 500), answer.status_code
    assert len(answer.content) < 1000 or "deep" not in name


def test_a_million_lists_cost_memory_for_a_moment_only(door: Door) -> None:
    wide = b"[" + b"[]," * 1_000_000 + b"[]]"
    body = b'{"data": ["browse", {"path": %s}], "component_id": %d, "session_hash": "tab", "fn_name": "call"}'
    for _ in range(2):
        answer = door.friend.post(CALL, content=body % (wide, door.component), headers=_JSON)
        assert answer.status_code == 200 and len(answer.content) < 1000


def test_many_sessions_are_not_all_remembered(door: Door) -> None:
    for i in range(MOST_SESSIONS):
        door.friend.post(CALL, json={**door.asked(["none", {}]), "session_hash": f"full {i}"})
    before_mb = door.memory_mb()
    for i in range(MOST_SESSIONS // 2):
        door.friend.post(CALL, json={**door.asked(["none", {}]), "session_hash": f"more {i}"})
    assert door.memory_mb() < before_mb + 10


_HUGE = {str: "x" * 2_000_000, int: 10**300, float: 1e308, bool: True}


def _huge(kind: typing.Any) -> Iterator[object]:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind in _HUGE:
        yield _HUGE[kind]
        yield from [-(10**40)] if kind is int else []
    elif origin is list:
        yield from ([one] * 3 for one in _huge(parts[0]))
    elif origin is dict:
        yield {"x" * 1_000_000: "y" * 1_000_000}
        yield {str(i): "" for i in range(5_000)}
    for part in parts if origin is types.UnionType else ():
        yield from _huge(part)


def test_huge_values_in_every_argument_of_every_endpoint(door: Door) -> None:
    """None is taken for a mistake of ours, and no answer repeats at length what it was given."""
    tried = 0
    for endpoint, argument, huge in everywhere(_huge):
        answer = door.ask(endpoint, **{**usual(endpoint, argument), argument: huge})
        assert answer.status_code == 200, (endpoint, argument)
        error = str(answer.json().get("error", ""))
        assert len(error) < 5000 and "Error:" not in error, (endpoint, argument, error[:300])
        tried += 1
    assert tried > 150


def test_silent_connections_are_closed(door: Door) -> None:
    """Whoever sends half a head, or nothing, for long has a connection no longer. The page answers meanwhile."""
    with contextlib.ExitStack() as open_lines:
        lines = [open_lines.enter_context(socket.create_connection(("127.0.0.1", door.port))) for _ in range(400)]
        for line in lines[::2]:
            line.sendall(b"GET / HTTP/1.1\r\nHost: x")
        assert door.guest.get("/").status_code == 200
        # One that was answered, and then began the next question, is let go as well.
        used = open_lines.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=30))
        used.sendall(f"GET /theme.css HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n\r\nGET / HT".encode())
        while used.recv(65536):
            pass
        for line in lines:
            line.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert line.recv(1) == b""


def test_heads_have_their_limit(door: Door) -> None:
    with line_to(door, "X: " + "a" * 200_000) as line:
        assert line.recv(100).startswith(b"HTTP/1.1 400")


def test_the_time_for_a_body_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that comes letter by letter; here with a shorter patience, as nobody waits a minute."""
    import asyncio

    monkeypatch.setattr(limits, "BODY_S", 0.2)
    answered: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: typing.Any) -> None:
        answered.append(message)

    async def app(*_: object) -> None:
        raise AssertionError("it is not passed on")

    def run(answering: typing.Coroutine[typing.Any, typing.Any, None]) -> None:
        # In a thread of its own: a browser of another test may keep a loop in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, answering).result()

    scope = {"type": "http", "method": "POST", "path": CALL, "headers": []}
    whole = limits.Limits(app)
    run(whole(scope, receive, send))
    assert answered[0]["status"] == 408 and json.loads(typing.cast(bytes, answered[1]["body"]))["error"]
    monkeypatch.setattr(limits, "MOST_HELD_BYTES", 2)
    answered.clear()
    run(whole(scope, receive, send))
    assert answered[0]["status"] == 503, "and many at once have a limit together"
