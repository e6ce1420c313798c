"""A hub on this machine: repositories in memory, behind the part of the hub's HTTP interface that its client speaks."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import constants

WRITES, READS = "hf_may_write", "hf_may_read"
# What goes by way of the large file storage, as the hub decides by ending and size.
LARGE = (".safetensors", ".ckpt", ".pt", ".bin")


@dataclass
class Stored:
    """A repository: every commit's files, in order."""

    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """(sha, files) of a branch or a commit."""
        shas = [f"{number:040x}" for number in range(len(self.commits))]
        if revision == "main":
            return shas[-1], self.commits[-1]
        return (revision, self.commits[shas.index(revision)]) if revision in shas else None


@dataclass
class Failure:
    """What happens to requests ("POST /api/...") that match: a status, or "drop" or "hang" of the connection."""

    pattern: str
    what: int | str
    times: int = 10**9


@dataclass
class Hub:
    """The state behind the server. `repositories`: by kind and id, such as "models/me/cats".

    `breaks`: downloads of these names break off once, after so many bytes. `asked`: every request; `ranges`: of which
    bytes, where not all were asked for.
    """

    address: str = ""
    repositories: dict[str, Stored] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    breaks: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def serve(self, id: str, files: dict[str, bytes]) -> None:
        """Puts a public model there, in place of one of the same name."""
        self.repositories[f"models/{id}"] = Stored(False, [files])

    def downloads(self) -> list[str]:
        """The names of the files that were downloaded."""
        return [request.split("/", 5)[5] for request in self.asked if re.match(r"GET /[^/]+/[^/]+/resolve/", request)]

    def lead_here(self, patch: pytest.MonkeyPatch, cache: Path) -> None:
        """Leads the hub's client of this process here."""
        patch.setattr(constants, "ENDPOINT", self.address)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
        template = self.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    def environment(self, home: Path) -> dict[str, str]:
        """The variables that lead the hub's client here; it keeps what it fetches in `home`."""
        plain = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {"HF_ENDPOINT": self.address, "HF_HOME": str(home), **plain}

    def failing(self, request: str) -> Failure | None:
        for failure in self.failures:
            if failure.times and re.search(failure.pattern, request):
                failure.times -= 1
                return failure
        return None


class _Answer(Exception):
    def __init__(self, status: int, body: object = None, headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        self.at_most: int | None = None
        self.data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()


NOT_FOUND = _Answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_arguments: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def answer(self) -> None:
        path, request = unquote(self.path.split("?")[0]), f"{self.command} {unquote(self.path)}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        self.hub.asked.append(request)
        failure = self.hub.failing(request)
        if failure and failure.what == "hang":
            self.hub.closing.wait()
        if failure and isinstance(failure.what, str):
            self.close_connection = True
            self.connection.close()
            return
        try:
            if failure:
                raise _Answer(int(failure.what), {"error": "made to fail"})
            for pattern, method in ROUTES.items():
                found = re.fullmatch(pattern, f"{self.command} {path}")
                if found:
                    method(self, body, **found.groupdict())
            raise _Answer(404, {"error": f"no such address: {request}"})
        except _Answer as answer:
            self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _send(self, answer: _Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.data)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.data[: answer.at_most])
        if answer.at_most is not None:
            self.close_connection = True

    # --- who asks, and for what

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _may_write(self) -> None:
        if self._token() != WRITES:
            raise _Answer(403 if self._token() == READS else 401, {"error": "Forbidden: you must use a write token"})

    def _stored(self, kind: str, id: str) -> Stored:
        stored = self.hub.repositories.get(f"{kind}/{id}")
        if stored is None or (stored.private and self._token() not in (WRITES, READS)):
            raise NOT_FOUND
        return stored

    def _at(self, kind: str, id: str, revision: str | None) -> tuple[str, dict[str, bytes]]:
        found = self._stored(kind, id).at(revision or "main")
        if found is None:
            raise _Answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        return found

    # --- the answers

    def create(self, body: bytes) -> None:
        self._may_write()
        wanted = json.loads(body)
        id = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        key = f"{wanted.get('type', 'model')}s/{id}"
        if key in self.hub.repositories:
            raise _Answer(409, {"error": "You already created this repo", "url": f"{self.hub.address}/{id}"})
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.hub.repositories[key] = Stored(private)
        raise _Answer(200, {"url": f"{self.hub.address}/{id}"})

    def auth_check(self, body: bytes, kind: str, id: str) -> None:
        self._stored(kind, id)
        self._may_write()
        raise _Answer(200)

    def info(self, body: bytes, kind: str, id: str, revision: str | None = None) -> None:
        sha, files = self._at(kind, id, revision)
        siblings = [{"rfilename": name} for name in sorted(files)]
        raise _Answer(200, {"id": id, "sha": sha, "siblings": siblings, "private": self._stored(kind, id).private})

    def tree(self, body: bytes, kind: str, id: str, revision: str) -> None:
        _, files = self._at(kind, id, revision)
        entries = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
        raise _Answer(200, entries)

    def preupload(self, body: bytes, kind: str, id: str) -> None:
        self._may_write()
        self._stored(kind, id)
        modes = [
            {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular"}
            for one in json.loads(body)["files"]
        ]
        raise _Answer(200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})

    def batch(self, body: bytes, id: str, kind: str | None = None) -> None:
        self._may_write()
        objects = []
        for one in json.loads(body)["objects"]:
            action = {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}?signature=sign3d", "header": {}}}
            objects.append(one if one["oid"] in self.hub.objects else {**one, "actions": action})
        raise _Answer(200, {"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise _Answer(400, {"error": "the content has another digest"})
        self.hub.objects[oid] = body
        raise _Answer(200)

    def commit(self, body: bytes, kind: str, id: str) -> None:
        self._may_write()
        stored = self._stored(kind, id)
        files = dict(stored.files)
        for line in body.splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
            elif item["key"] == "lfsFile":
                files[item["value"]["path"]] = self.hub.objects[item["value"]["oid"]]
        stored.commits.append(files)
        sha = f"{len(stored.commits) - 1:040x}"
        raise _Answer(200, {"commitUrl": f"{self.hub.address}/{id}/commit/{sha}", "commitOid": sha})

    def resolve(self, body: bytes, id: str, revision: str, name: str, kind: str | None = None) -> None:
        sha, files = self._at((kind or "models/").rstrip("/"), id, revision)
        if name not in files:
            raise _Answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        data = files[name]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start and self.command == "GET":
            self.hub.ranges.append(self.headers["Range"])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer = _Answer(206 if start else 200, data[start:], headers)
        answer.at_most = self.hub.breaks.pop(name, None) if self.command == "GET" else None
        raise answer


_ID = r"(?P<id>[\w.-]+/[\w.-]+)"
_API = rf"/api/(?P<kind>models|datasets|spaces)/{_ID}"
_KIND = r"(?P<kind>datasets/|spaces/)?"
ROUTES: dict[str, Callable[..., None]] = {
    r"POST /api/repos/create": _Handler.create,
    rf"GET {_API}/auth-check/write": _Handler.auth_check,
    rf"GET {_API}(/revision/(?P<revision>\w+))?": _Handler.info,
    rf"GET {_API}/tree/(?P<revision>\w+)": _Handler.tree,
    rf"POST {_API}/preupload/main": _Handler.preupload,
    rf"POST {_API}/commit/main": _Handler.commit,
    rf"POST /{_KIND}{_ID}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /lfs/(?P<oid>\w+)": _Handler.put,
    rf"(GET|HEAD) /{_KIND}{_ID}/resolve/(?P<revision>\w+)/(?P<name>.+)": _Handler.resolve,
}


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers at its `address` while the block lasts."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            hub.closing.set()
            server.shutdown()
            thread.join()


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
