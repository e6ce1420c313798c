"""Downloads, from a server on this machine that answers as the hub does."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.tagging.conftest import ROOT


class Hub(BaseHTTPRequestHandler):
    """One repository, owner/model, with `server.files`; one in `server.breaks` breaks off once, after so many bytes."""

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        if self.path.startswith("/api/models/owner/model"):
            files = [{"rfilename": name} for name in self.server.files]
            return self.send(
                200, json.dumps({"id": "owner/model", "sha": "a" * 40, "siblings": files}).encode(), {}, body
            )
        name = self.path.partition("/resolve/main/")[2] or self.path.partition(f"/resolve/{'a' * 40}/")[2]
        if not self.path.startswith("/owner/model/") or name not in self.server.files:
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        data = self.server.files[name]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": "a" * 40, "Accept-Ranges": "bytes"}
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.send(
            206 if start else 200, data[start:], headers, body, self.server.breaks.pop(name, None) if body else None
        )

    def send(self, code, data, headers, body, at_most=None):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data[:at_most])
        if at_most is not None:
            self.close_connection = True


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        hub.files, hub.breaks, hub.asked = {}, {}, []
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


@pytest.fixture
def environment(server, tmp_path):
    address = f"http://127.0.0.1:{server.server_port}"
    return {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}


def served(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_tagger_is_downloaded_once_and_then_needs_no_network(
    models, pictures, run_script, server, environment, tmp_path
):
    server.files = {**served(models("wd14")), "README.md": b"not needed"}
    arguments = ("tag_images_by_wd14_tagger.py", pictures, "--repo_id", "owner/model", "--model_dir", tmp_path / "kept")
    first = run_script(*arguments, **environment)
    assert first.returncode == 0, first.stderr
    assert "Downloading owner/model" in first.stderr
    kept = tmp_path / "kept" / "owner_model"
    assert sorted(path.name for path in kept.iterdir() if path.is_file()) == ["model.onnx", "selected_tags.csv"]
    server.asked.clear()
    assert run_script(*arguments, **environment).returncode == 0
    assert server.asked == []
    text = (kept / "selected_tags.csv").read_text()
    server.files["selected_tags.csv"] = text.replace("solo", "alone").encode()
    assert run_script(*arguments, "--force_download", "--thresh", "0", **environment).returncode == 0
    assert "alone" in (pictures / "plain.txt").read_text()


def test_a_repository_may_be_named_with_a_folder_in_it(models, pictures, run_script, server, environment, tmp_path):
    server.files = {f"v2/{name}": data for name, data in served(models("wd14_mapping")).items()}
    arguments = (
        "tag_images_by_wd14_tagger.py",
        pictures,
        "--repo_id",
        "owner/model/v2",
        "--model_dir",
        tmp_path / "kept",
    )
    assert run_script(*arguments, **environment).returncode == 0
    assert (tmp_path / "kept" / "owner_model_v2" / "v2" / "model_optimized.onnx").is_file()
    server.asked.clear()
    assert run_script(*arguments, **environment).returncode == 0
    assert server.asked == []


def test_a_captioner_is_downloaded_once(models, pictures, run_script, server, environment):
    server.files = {**served(models("git")), "pytorch_model.bin": b"the same again"}
    arguments = ("make_captions_by_git.py", pictures, "--model_id", "owner/model", "--max_length", "5")
    done = run_script(*arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert not any("pytorch_model.bin" in path for _, path, _ in server.asked)
    server.asked.clear()
    assert run_script(*arguments, **environment).returncode == 0
    assert server.asked == []


def test_a_broken_download_goes_on(server, environment, tmp_path):
    data = os.urandom(1 << 20) * 25
    server.files, server.breaks = {"blob.bin": data}, {"blob.bin": 22 << 20}
    code = (
        "import sys; from pathlib import Path; from sd_scripts.library.io.hub import download; "
        "print(download('owner/model', 'blob.bin', Path(sys.argv[1])))"
    )
    everything = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "kept"],
        cwd=ROOT,
        env=everything,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kept" / "blob.bin").read_bytes() == data
    ranges = [
        ranges
        for command, _, ranges in server.asked
        if command == "GET" and ranges and not ranges.startswith("bytes=0")
    ]
    assert len(ranges) == 1


@pytest.mark.parametrize(
    ("files", "name", "sentence"),
    [
        ({}, "someone/else", "the hub has no someone/else"),
        ({"README.md": b""}, "owner/model", "the hub has no model.onnx and selected_tags.csv in it"),
    ],
)
def test_what_the_hub_lacks_is_said(files, name, sentence, pictures, run_script, server, environment, tmp_path):
    server.files = files
    arguments = ("tag_images_by_wd14_tagger.py", pictures, "--repo_id", name, "--model_dir", tmp_path / "kept")
    done = run_script(*arguments, **environment)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_hub_that_cannot_be_reached_is_said(pictures, run_script, tmp_path):
    arguments = ("tag_images_by_wd14_tagger.py", pictures, "--model_dir", tmp_path / "kept")
    done = run_script(*arguments, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0")
    assert done.returncode == 2
    assert "SmilingWolf/wd-v1-4-convnext-tagger-v2 is not on this machine" in done.stderr
    assert "give --repo_id a local folder" in done.stderr
