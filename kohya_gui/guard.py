"""Who may speak to the page: foreign names and sites, unknown addresses and strangers are refused before all else."""

import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from kohya_gui import ways

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What browsers say of the site that a request comes from: the page itself, or the user's own doing.
_OWN = ("same-origin", "none")


class Hosts:
    """The names under which the page may be reached."""

    def __init__(self, listen: str, allowed: list[str]) -> None:
        self.local_only = is_loopback(listen)
        self.named = {name.lower() for name in allowed}
        self.names = {"localhost", listen.lower(), *map(host_name, allowed)}
        if not self.local_only:
            own = socket.gethostname().lower()
            self.names |= {own, f"{own}.local"}

    def allow(self, url: str) -> None:
        """Allows the name of an address as well."""
        netloc = urlsplit(url).netloc.lower()
        self.named.add(netloc)
        self.names.add(host_name(netloc))

    def allows(self, host: str) -> bool:
        """Whether a Host header (name, perhaps with a port) is one of ours.

        A page of another site can point its own name here, never an address: on a network addresses are let through.
        """
        name = host_name(host)
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.local_only

    def is_own(self, url: str, host: str) -> bool:
        """Whether the site of an Origin or Referer is the page itself, or an allowed one. "null" is neither."""
        try:
            site = urlsplit(url).netloc.lower()
        except ValueError:
            return False
        return bool(site) and (site == host.lower() or bool({site, host_name(site)} & self.named))


class Guard:
    """ASGI middleware: answers 403, 404, 415 or 401 with a sentence to whoever, or whatever, does not belong here.

    `welcome`: whether a request comes from somebody who has logged in, or no password is asked for.
    """

    def __init__(self, app: App, hosts: Hosts, welcome: Callable[[Scope], bool]) -> None:
        self.app = app
        self.hosts = hosts
        self.welcome = welcome

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it. The page has no use for WebSockets."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self.refusal(scope) if scope["type"] == "http" else None
        if refused:
            await refuse(send, *refused)
        else:
            await self.app(scope, receive, send)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the sentence for a request that is refused."""
        method, path = scope["method"], scope["path"]
        sentence = self._foreign_name(scope) or self._foreign_site(scope)
        if sentence:
            return 403, sentence
        if not ways.is_known(method, path):
            return 404, "There is nothing at this address."
        if method == "POST" and not ways.takes_forms(path) and not _is_json(scope):
            return 415, "Only JSON is taken: send it with the header Content-Type: application/json."
        if not ways.is_open(method, path) and not self.welcome(scope):
            return 401, "Log in first."
        return None

    def _foreign_name(self, scope: Scope) -> str | None:
        hosts = headers_of(scope, "host") or [""]
        for host in [*hosts, *headers_of(scope, "x-forwarded-host")]:
            if not self.hosts.allows(host):
                name = host_name(host)
                return f'The page is not known as "{host}". Start it with --allowed_host {name} to allow that.'
        return None

    def _foreign_site(self, scope: Scope) -> str | None:
        """The page itself may be opened by a link from anywhere; all else comes from the page, or from no site."""
        host, origins = headers_of(scope, "host")[0], headers_of(scope, "origin")
        visit = scope["method"] in ("GET", "HEAD") and scope["path"] == "/" and not origins
        site = next((one for one in headers_of(scope, "sec-fetch-site") if one not in _OWN), None)
        mode = headers_of(scope, "sec-fetch-mode")
        if visit and (site is None or mode == ["navigate"]):
            return None
        sites = origins or headers_of(scope, "referer")
        foreign = next((one for one in sites if not self.hosts.is_own(one, host)), None)
        # A proxy may ask under its own name: then an allowed origin stands for the page.
        if foreign is None and site and not origins:
            foreign = site
        return f'Requests from the site "{foreign}" are not accepted.' if foreign else None


def headers_of(scope: Scope, name: str) -> list[str]:
    """The values of a header, which may be there several times."""
    wanted = name.encode("ascii")
    return [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]


def host_name(host: str) -> str:
    """The name in "name:port" or "[address]:port", in small letters."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine alone."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def refuse(send: Send, status: int, sentence: str, *headers: tuple[bytes, bytes]) -> None:
    """Answers with a sentence, and closes the connection: what else was to be sent is not read."""
    more = [(b"content-type", b"application/json"), (b"connection", b"close"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": more})
    await send({"type": "http.response.body", "body": json.dumps({"error": sentence}).encode()})


def _is_json(scope: Scope) -> bool:
    given = headers_of(scope, "content-type")
    return len(given) == 1 and given[0].split(";")[0].strip().lower() == "application/json"
