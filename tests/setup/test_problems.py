"""The sentences for what goes wrong while setting up."""

from pathlib import Path

import pytest

from installer import machine, problems
from installer.environment import Environment
from installer.installation import _check_disk


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("OSError: [WinError 112] There is not enough space on the disk", "the disk is full"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate was not accepted"),
        ("NewConnectionError('<pip>: Failed to establish a new connection: [Errno -2]')", "could not be reached"),
        ("ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out.", "could not be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "arrived damaged"),
        ("ERROR: Could not install packages: [Errno 13] Permission denied: '/x'", "may not be written"),
        ("ERROR: No matching distribution found for torch==2.13.0", "does not offer this version"),
        ("something that nobody has seen before", "pip's own words stand above"),
    ],
)
def test_pips_text_becomes_one_sentence_and_is_kept(output, words):
    error = problems.pip_failed("PyTorch", f"Collecting torch\n{output}\n")
    assert str(error).startswith("PyTorch could not be installed: ")
    assert words in str(error)
    assert output in error.details


def test_an_unreachable_index_is_not_blamed_on_the_version():
    output = "WARNING: Retrying: NewConnectionError\nERROR: No matching distribution found for torch==2.13.0"
    assert "could not be reached" in str(problems.pip_failed("PyTorch", output))


def test_only_the_end_of_a_long_text_is_shown():
    error = problems.pip_failed("PyTorch", "\n".join(f"line {n}" for n in range(1000)))
    assert "line 999" in error.details
    assert len(error.details.splitlines()) == 25


def test_a_full_disk_is_said_before_anything_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "free_bytes", lambda folder: 300_000_000)
    with pytest.raises(problems.SetupError, match=r"0\.3 GB free, and the installation needs 4\.0 GB"):
        _check_disk(tmp_path, Environment(tmp_path), frozenset({"cpu"}))


def test_what_is_installed_already_needs_no_space_again(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "free_bytes", lambda folder: 3_000_000_000)
    monkeypatch.setattr(machine, "folder_bytes", lambda folder: 2_000_000_000)
    _check_disk(tmp_path, Environment(tmp_path), frozenset({"cpu"}))


def test_a_python_without_venv_names_the_package_to_install():
    sentence = str(problems.no_venv_module("/usr/bin/python3.11", (3, 11)))
    assert "apt install python3.11-venv" in sentence
    assert "/usr/bin/python3.11" in sentence


def test_folder_size(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"x" * 5)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert machine.folder_bytes(tmp_path) == 15
    assert machine.folder_bytes(Path(tmp_path / "missing")) == 0


def test_a_build_of_ones_own_is_recognised():
    assert machine.offers_own_build("Available versions: 2.14.0, 2.13.0+cpu, 2.13.0", "2.13.0")
    assert not machine.offers_own_build("Available versions: 2.14.0+cpu, 2.13.0", "2.13.0")
    assert not machine.offers_own_build("", "2.13.0")


def test_an_index_that_is_not_there_does_not_answer():
    assert not machine.index_answers("http://127.0.0.1:9/whl", timeout_s=0.5)
    assert not machine.index_answers("no url at all", timeout_s=0.5)
