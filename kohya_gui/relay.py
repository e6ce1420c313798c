"""TensorBoard under the page's own address: it listens on this machine only, and the page may be open on another."""

from collections.abc import Callable, Iterable
from urllib.parse import quote

import httpx
from fastapi import FastAPI, HTTPException, Request, Response

from kohya_gui.tensorboard import Server

# Of one connection only (RFC 9110, section 7.6.1), for the page alone, or made anew.
_NOT_PASSED = {
    "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "cookie", "host", "origin", "accept-encoding", "content-encoding", "content-length",
}  # fmt: skip
PATIENCE_S = 60.0


def board_url(server: Server) -> str:
    """Where a TensorBoard is found, from the page's own address."""
    return f"/tensorboard/{server.port}/"


def add_relay(app: FastAPI, boards: Callable[[], list[Server]]) -> None:
    """Passes requests on to the TensorBoards that run, and to nothing else. The guard has looked at them before."""

    @app.api_route("/tensorboard/{port}/{path:path}", methods=["GET", "POST"])
    async def relay(port: int, path: str, request: Request) -> Response:
        server = next((one for one in boards() if one.port == port), None)
        if server is None:
            raise HTTPException(404, "No TensorBoard runs here.")
        url = httpx.URL(f"{server.url}{quote(path)}", query=request.url.query.encode())
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
            try:
                answer = await client.request(
                    request.method, url, headers=_passed(request.headers.items()), content=await request.body()
                )
            except httpx.TransportError as error:
                raise HTTPException(502, "TensorBoard does not answer.") from error
        return Response(answer.content, answer.status_code, _passed(answer.headers.items()))


def _passed(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _NOT_PASSED}
