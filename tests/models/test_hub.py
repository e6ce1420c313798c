"""Models by hub id, against a small hub of our own on this machine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from sd_scripts.library.errors import BadFile
from sd_scripts.library.models.hub import model_path
from sd_scripts.library.models.sd import load
from sd_scripts.library.models.vae import load_vae

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers the two questions that the client asks: which files, and one file."""

    folder: Path
    served: list[str]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "api":
            root = self.folder / parts[3]
            files = [str(file.relative_to(root)) for file in sorted(root.rglob("*")) if file.is_file()]
            whole = {"id": "me/" + parts[3], "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
            tree = [{"type": "file", "path": file, "size": (root / file).stat().st_size, "oid": "0"} for file in files]
            found = json.dumps(tree if "tree" in parts else whole).encode() if files else None
        else:
            file = self.folder / parts[1] / "/".join(parts[4:])
            found = file.read_bytes() if file.is_file() else None
            if body:
                self.served.append("/".join(parts[4:]))
        self.send_response(200 if found is not None else 404)
        if found is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(found or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        if body and found:
            self.wfile.write(found)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("Handler", (Hub,), {"folder": tmp_path / "hub", "served": []})
    handler.folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_is_fetched_once_and_only_what_is_needed(models: Path, hub: type[Hub]):
    whole = hub.folder / "tiny"
    whole.symlink_to(models / "sd1_folder")
    found = load("me/tiny")
    assert found.source_format == "diffusers_safetensors"
    local = load(str(models / "sd1_folder"))
    for name, tensor in local.unet.state_dict().items():
        assert torch.equal(tensor, found.unet.state_dict()[name])
    assert found.tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    served = len(hub.served)
    load("me/tiny")
    assert len(hub.served) == served


def test_of_a_model_only_the_vae_or_a_vae_by_itself(models: Path, hub: type[Hub]):
    (hub.folder / "tiny").symlink_to(models / "sd1_folder")
    (hub.folder / "vae").symlink_to(models / "sd1_folder" / "vae")
    expected = load_vae(str(models / "sd1_folder")).hash
    assert load_vae("me/tiny").hash == expected
    assert not any(name.startswith(("unet/diff", "text_encoder/")) for name in hub.served)
    assert load_vae("me/vae").hash == expected


def test_what_the_hub_does_not_have(hub: type[Hub]):
    with pytest.raises(BadFile, match="me/nothing: there is no such file or folder here, and no such model on the hub"):
        model_path("me/nothing")
    (hub.folder / "text").mkdir()
    (hub.folder / "text" / "README.md").write_text("no model")
    with pytest.raises(BadFile, match="me/text on the hub holds no diffusers model"):
        model_path("me/text")
