"""RAM: what a container may take, and the peak of a process."""

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from sd_scripts.library.ram import free_ram_bytes, peak_ram_bytes, whole_ram_bytes

MACHINE_BYTES = 1 << 40


@pytest.mark.parametrize("older", [False, True])
def test_a_container_has_the_memory_that_its_limit_leaves(tmp_path, monkeypatch, older):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE_BYTES, total=MACHINE_BYTES))
    folder = tmp_path / "memory" if older else tmp_path
    names = ("limit_in_bytes", "usage_in_bytes") if older else ("max", "current")
    folder.mkdir(exist_ok=True)
    (folder / "memory.stat").write_text(f"anon 1\n{'total_' * older}inactive_file 500\n")
    (folder / f"memory.{names[1]}").write_text("2500\n")
    for limit, free in (("max", None), ("9000", 7000), ("1000", 0), ("9223372036854771712", None)):
        (folder / f"memory.{names[0]}").write_text(f"{limit}\n")
        found = free_ram_bytes(tmp_path)
        assert found == free if free is not None else found == MACHINE_BYTES
        assert whole_ram_bytes(tmp_path) == (MACHINE_BYTES if free is None else int(limit))


def test_the_peak_of_a_process_is_its_own_and_not_of_the_one_that_started_it():
    mine = bytearray(b"1" * 400_000_000)
    code = "from sd_scripts.library.ram import peak_ram_bytes; b'1' * 100_000_000; print(peak_ram_bytes())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 100_000_000 < int(told.stdout) < 300_000_000
    assert peak_ram_bytes() > len(mine)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module, and tells the peak itself.")
def test_on_macos_too_the_peak_is_told_and_not_what_is_held_now(monkeypatch):
    import resource

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    monkeypatch.setattr(sys, "platform", "darwin")
    # Of macOS it is in bytes. Here it is in KiB, far from what is held.
    for pid in (None, os.getpid()):
        assert peak() <= peak_ram_bytes(pid) <= peak()
    assert peak_ram_bytes(os.getppid()) > 0


def test_a_process_that_has_ended_holds_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert peak_ram_bytes(process.pid) == 0
