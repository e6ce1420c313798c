"""Other users of the same machine, and pictures that are made to burst: what the page keeps, and what it opens."""

import stat
import struct
import zlib
from pathlib import Path

import pytest

from kohya_gui.server import make_studio
from kohya_gui.settings import ServerOptions
from sd_scripts.library import systems
from sd_scripts.library.errors import BadOption
from tests.door.conftest import Door
from tests.gui_server.conftest import end_all
from tests.page import REPOSITORY

only_posix = pytest.mark.skipif(systems.WINDOWS, reason="Windows keeps a user's data folder closed by itself")


@only_posix
def test_others_of_the_machine_see_no_runs_and_queue_none(door: Door) -> None:
    assert stat.S_IMODE(door.runs_dir.stat().st_mode) == 0o700


@only_posix
def test_the_usual_folder_of_runs_is_closed_even_where_it_was_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    runs_dir = tmp_path / "sd-trainer" / "runs"
    runs_dir.mkdir(parents=True, mode=0o755)
    make_studio(ServerOptions(root=[str(tmp_path)]), REPOSITORY)
    end_all(runs_dir)
    assert stat.S_IMODE(runs_dir.stat().st_mode) == 0o700


@only_posix
def test_a_folder_of_runs_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(BadOption, match="say what is run"):
        make_studio(ServerOptions(runs_dir=str(tmp_path), root=[str(tmp_path)]), REPOSITORY)


def test_a_picture_that_would_burst_is_not_opened(door: Door) -> None:
    """60,000 by 60,000 px in 500 kB."""
    side_px = 60_000

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    line = zlib.compressobj(9)
    data = b"".join(line.compress(bytes(1 + side_px // 8)) for _ in range(side_px)) + line.flush()
    head = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    bomb = door.home / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    before_mb = door.memory_mb()
    answer = door.friend.get("/thumbnail", params={"path": str(bomb)})
    assert answer.status_code == 422
    assert door.memory_mb() < before_mb + 50
    bomb.unlink()


def test_pictures_are_shown_and_nothing_else(door: Door) -> None:
    for name in ("a.svg", "a.html", "a.txt", "a.png.html", "a.js"):
        (door.home / name).write_text("<script>alert(1)</script>")
        for address in ("/file", "/thumbnail"):
            assert door.friend.get(address, params={"path": str(door.home / name)}).status_code == 403
    (door.home / "lies.png").write_text("<script>alert(1)</script>")
    answer = door.friend.get("/file", params={"path": str(door.home / "lies.png")})
    assert answer.headers["content-type"] == "image/png" and answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
