"""How much, and how slowly, may be sent to the page: bodies, and connections on which nothing comes."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from kohya_gui.guard import App, Message, Receive, Scope, Send, headers_of, refuse
from sd_scripts.library import systems

LARGEST_BODY_BYTES = 10_000_000
"""The largest that the page sends are the numbers of a million pictures."""
LARGEST_LOGIN_BYTES = 10_000
MOST_HELD_BYTES = 60_000_000
"""Of all bodies that arrive at the same time."""
BODY_S = 60.0
HEAD_S = 15.0
"""So long may the body, and the head, of a request take to arrive."""
MOST_CONNECTIONS = 2000
FILES_BESIDE_CONNECTIONS = 500


class Refused(Exception):
    """A request that is not received to its end: status, sentence."""


class Limits:
    """ASGI middleware: a body is received whole, in its bounds, before anybody looks at it.

    Answers 413 for one that is too large, 408 for one that is too slow, 503 where too much arrives at once.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on with its body, or refuses it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = bytearray()
        try:
            _check_told(scope)
            async with asyncio.timeout(BODY_S):
                await self._receive(receive, body, _most(scope))
        except TimeoutError:
            await refuse(send, 408, f"A request must arrive within {BODY_S:.0f} seconds.")
        except Refused as refused:
            await refuse(send, *refused.args)
        else:
            await self.app(scope, _replayed(bytes(body), receive), send)
        finally:
            self._held_bytes -= len(body)

    async def _receive(self, receive: Receive, body: bytearray, most: int) -> None:
        """Fills `body`. Errors: Refused."""
        more = True
        while more:
            message = await receive()
            part = message.get("body", b"")
            body += part
            self._held_bytes += len(part)
            if len(body) > most:
                raise _too_large(most)
            if self._held_bytes > MOST_HELD_BYTES:
                raise Refused(503, "Too much is being sent at once. Try again in a moment.")
            more = message.get("more_body", False)


class Patient(H11Protocol):
    """A connection that is closed where no head of a request arrives in time; uvicorn itself waits for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Waits on, unless the head is there."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        super().connection_lost(exc)
        self._forget()

    def _wait(self) -> None:
        if not self._lacks_head():
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._close)

    def _lacks_head(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _forget(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        if self._lacks_head() and not self.transport.is_closing():
            self.transport.close()


def most_connections() -> int:
    """How many connections there may be at once, so that files can still be opened."""
    return max(100, min(MOST_CONNECTIONS, systems.raise_open_files(8192) - FILES_BESIDE_CONNECTIONS))


def _most(scope: Scope) -> int:
    return LARGEST_LOGIN_BYTES if scope["path"].startswith("/login") else LARGEST_BODY_BYTES


def _check_told(scope: Scope) -> None:
    """A body whose head already says that it is too large is not waited for. Errors: Refused."""
    told = headers_of(scope, "content-length")
    if told and int(told[0]) > _most(scope):
        raise _too_large(_most(scope))


def _too_large(most: int) -> Refused:
    return Refused(413, f"A request may have {most:,} bytes at most.")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was received, and then what comes after it: that the connection ends."""
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
