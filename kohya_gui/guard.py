"""Who may speak to the page: requests of other sites, and under other names, are refused before anything else."""

import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


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


class Guard:
    """ASGI middleware: refuses a foreign Host, and an Origin that is neither the Host itself nor an allowed one."""

    def __init__(self, app: App, hosts: Hosts) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 403 with a sentence."""
        if scope["type"] in ("http", "websocket"):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            refused = self.refusal(headers)
            if refused:
                await _refuse(refused, scope, send)
                return
        await self.app(scope, receive, send)

    def refusal(self, headers: dict[str, str]) -> str | None:
        """The sentence for a request that is refused."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.hosts.allows(host):
            return f'The page is not known as "{host}". Start it with --allowed_host {host_name(host)} to allow that.'
        site = urlsplit(origin or "").netloc.lower()
        if origin and site != host.lower() and not {site, host_name(site)} & self.hosts.named:
            return f'Requests from the site "{origin}" are not accepted.'
        return None


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


async def _refuse(sentence: str, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": sentence}).encode()})
