"""What browsers may do with the answers: show them in no frame, guess no types, run only what the page came with."""

import base64
import hashlib
import re

from kohya_gui.guard import App, Message, Receive, Scope, Send

_ALWAYS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
_NEVER = (
    b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-allow-methods",
    b"access-control-allow-headers", b"access-control-max-age", b"server",
)  # fmt: skip
"""Gradio lets other sites read answers where the page has a name of its own."""

_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_FRAMED_BY_ITSELF = "frame-ancestors 'self'"
# Gradio makes functions of the texts in which its components are described; styles stand in attributes.
_PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; frame-src 'none'; "
    "worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_INLINE = re.compile(rb"<script\b(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.S | re.I)
_BOARD = "/tensorboard/"


class Answers:
    """ASGI middleware, the outermost: the headers of every answer, refusals too."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; what is answered gets its headers."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _headers(scope["path"], message["headers"])
            await send(message)

        await self.app(scope, receive, told if scope["type"] == "http" else send)


class Policy:
    """ASGI middleware around Gradio: the page runs its own files and the scripts that stand in it now, by their hashes.

    So what gets into it later, by a caption or a file's name, does not run. `head`: what Gradio adds to its head
    when it is there.
    """

    def __init__(self, app: App, head: str) -> None:
        self.app = app
        self.head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; the page itself is held back until its scripts are known."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def held(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            if message["type"] != "http.response.body":
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                start["headers"] = [
                    *start["headers"],
                    (b"content-security-policy", policy_of(self.head + body).encode()),
                ]
                await send(start)
                await send({"type": "http.response.body", "body": bytes(body)})

        # It must come as it is; it is packed further out.
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self.app({**scope, "headers": plain}, receive, held)


def policy_of(page: bytes) -> str:
    """The policy for a page with the scripts that stand in it."""
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE.findall(page)]
    return _PAGE.format(scripts=" ".join(f"'sha256-{one}'" for one in hashes))


def _headers(path: str, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in given}
    board = path.startswith(_BOARD)
    more = dict(_ALWAYS)
    more[b"x-frame-options"] = b"SAMEORIGIN" if board else b"DENY"
    if board:
        # TensorBoard has a policy of its own, which a second one narrows.
        more[b"content-security-policy"] = _FRAMED_BY_ITSELF.encode()
    elif b"content-security-policy" not in names:
        more[b"content-security-policy"] = _NOTHING.encode()
    if b"cache-control" not in names and not path.startswith(("/assets/", "/static/")):
        more[b"cache-control"] = b"no-store"
    kept = [(name, value) for name, value in given if name.lower() not in (*_NEVER, *_ALWAYS, b"x-frame-options")]
    return [*kept, *more.items()]
