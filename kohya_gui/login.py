"""The password: who guesses waits longer and longer, and the cookie goes to nobody else."""

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from kohya_gui.guard import App, Message, Receive, Scope, Send, headers_of, refuse

FORGOTTEN_S = 3600.0
MOST_ADDRESSES = 10_000
LONGEST_WAIT_S = 10.0
"""A try that would have to wait longer is refused."""


@dataclass(frozen=True)
class Patience:
    """`free` tries at once; each one after them waits twice as long as the one before, at most `longest_s`."""

    free: int
    longest_s: float

    def delay_s(self, tries: int) -> float:
        """How long after the last try the next one is looked at."""
        return 0.0 if tries < self.free else min(self.longest_s, 2.0 ** min(tries - self.free, 30))


OF_ONE = Patience(free=5, longest_s=300.0)
OF_ALL = Patience(free=50, longest_s=4.0)
"""Many addresses together guess no faster than this. One from which somebody has logged in before is not kept out."""


@dataclass
class Tries:
    """Tries without success. `looked_s`: when the last one was, or will be, looked at."""

    count: int = 0
    looked_s: float = -math.inf


class Counter:
    """The tries of all addresses."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, Tries] = OrderedDict()
        self._all = Tries()
        self._known: set[str] = set()

    def begin(self, address: str, now_s: float) -> float:
        """Counts a try, and gives how many seconds from now it may be looked at; one too far away does not count."""
        mine = self._tries(address, now_s)
        if now_s - self._all.looked_s > FORGOTTEN_S:
            self._all = Tries()
        counted = [(mine, OF_ONE)] if address in self._known else [(mine, OF_ONE), (self._all, OF_ALL)]
        at_s = max(now_s, *(tries.looked_s + patience.delay_s(tries.count) for tries, patience in counted))
        if at_s - now_s <= LONGEST_WAIT_S:
            for tries, _ in counted:
                tries.count += 1
                tries.looked_s = at_s
        return at_s - now_s

    def succeeded(self, address: str) -> None:
        """Whoever has logged in begins anew. What others have tried stays counted."""
        count = self._by_address.pop(address, Tries()).count
        if address not in self._known:
            self._all.count -= count
            self._known.add(address)

    def count(self, address: str) -> int:
        """The tries of an address."""
        return self._by_address.get(address, Tries()).count

    def _tries(self, address: str, now_s: float) -> Tries:
        known = self._by_address.pop(address, None)
        if known is None or now_s - known.looked_s > FORGOTTEN_S:
            known = Tries()
        self._by_address[address] = known
        while len(self._by_address) > MOST_ADDRESSES:
            self._by_address.popitem(last=False)
        return known


class Login:
    """ASGI middleware around Gradio's /login: counts tries, makes them wait, and tells of them where the page runs."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.counter = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, when its time has come; or answers 429."""
        if scope["type"] != "http" or scope["path"].rstrip("/") != "/login":
            await self.app(scope, receive, send)
            return
        address = guest(scope)
        wait_s = self.counter.begin(address, time.monotonic())
        if wait_s > LONGEST_WAIT_S:
            again = str(math.ceil(wait_s)).encode()
            await refuse(send, 429, f"Too many tries. Try again in {math.ceil(wait_s)} s.", (b"retry-after", again))
            return
        await asyncio.sleep(wait_s)

        async def noticed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._tell(address, message["status"])
                message["headers"] = [(key, self._cookie(scope, key, value)) for key, value in message["headers"]]
            await send(message)

        await self.app(scope, receive, noticed)

    def _tell(self, address: str, status: int) -> None:
        if status == 200:
            self.counter.succeeded(address)
            return
        count = self.counter.count(address)
        # The first ones, then fewer and fewer: guesses fill no disk.
        if count <= OF_ONE.free or count & (count - 1) == 0:
            print(f"A wrong name or password came from {address}: try {count}.", flush=True)

    @staticmethod
    def _cookie(scope: Scope, key: bytes, value: bytes) -> bytes:
        return kept_here(value.decode("latin-1"), is_https(scope)).encode("latin-1") if key == b"set-cookie" else value


def guest(scope: Scope) -> str:
    """The address that a request comes from; of IPv6 the network, as one guest has all addresses in it.

    What a header says of it is not believed. Behind a proxy all are one guest.
    """
    address = (scope.get("client") or ("unknown", 0))[0]
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return str(address)
    return str(known) if known.version == 4 else str(ipaddress.ip_network((known, 64), strict=False))


def is_https(scope: Scope) -> bool:
    """Whether the browser speaks https, to the page or to the proxy before it."""
    return "https" in (
        scope.get("scheme"),
        *(one.split(",")[0].strip() for one in headers_of(scope, "x-forwarded-proto")),
    )


def kept_here(cookie: str, https: bool) -> str:
    """A cookie that no script reads, that comes with no request of another site, and travels encrypted if it can."""
    parts = [part.strip() for part in cookie.split(";")]
    ours = [part for part in parts[1:] if part.split("=")[0].lower() not in ("samesite", "secure", "httponly")]
    return "; ".join([parts[0], *ours, "HttpOnly", "SameSite=Lax", *(["Secure"] if https else [])])
