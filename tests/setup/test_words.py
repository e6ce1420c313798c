"""setup.sh and the words it understands, as a user types them."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from installer import commands, installation, machine
from installer.problems import SetupError
from sd_scripts.library import systems

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(systems.WINDOWS, reason="setup.sh is for sh")

FITS = 'case "$1" in -c) exit 0 ;; *) echo "$(basename "$0")" "$#" "$@" ;; esac'
TOO_OLD = 'case "$1" in -V) echo "Python 3.9.2" ;; *) exit 1 ;; esac'
WITHOUT_VENV = 'case "$1$2" in *ensurepip*) exit 1 ;; -c*) exit 0 ;; *) echo "$(basename "$0") without venv" ;; esac'


@pytest.fixture
def shell(tmp_path):
    """Runs a copy of setup.sh, in a folder with a difficult name, on a machine that has only these Pythons."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "uname", "basename"):
        (tools / name).symlink_to(shutil.which(name))
    project = tmp_path / "it's a $(folder)"
    project.mkdir()
    shutil.copy(ROOT / "setup.sh", project)

    def run(pythons, *args):
        for name, body in pythons.items():
            (tools / name).write_text(f"#!{tools / 'sh'}\n{body}\n")
            (tools / name).chmod(0o755)
        argv = [str(tools / "sh"), str(project / "setup.sh"), *args]
        return subprocess.run(argv, env={"PATH": str(tools)}, capture_output=True, text=True, cwd=tmp_path)

    run.installer = f"{project / 'installer'}/__main__.py"
    return run


def test_arguments_reach_the_installer_unchanged(shell):
    done = shell({"python3": FITS}, "test", "-k", "a b", "$(x)", "")
    assert done.stdout == f"python3 6 {shell.installer} test -k a b $(x) \n"


def test_python_311_comes_first(shell):
    assert shell({"python3.11": FITS, "python3.12": FITS, "python3": FITS}).stdout.startswith("python3.11 ")


def test_an_older_python3_is_passed_over(shell):
    assert shell({"python3": TOO_OLD, "python3.12": FITS}).stdout.startswith("python3.12 ")


def test_a_python_that_can_make_environments_is_preferred(shell):
    assert shell({"python3.11": WITHOUT_VENV, "python3.12": FITS}).stdout.startswith("python3.12 ")


def test_one_without_is_handed_to_the_installer_which_says_what_is_missing(shell):
    assert shell({"python3.11": WITHOUT_VENV}).stdout == "python3.11 without venv\n"


@pytest.mark.parametrize(("pythons", "found"), [({}, "missing"), ({"python3": TOO_OLD}, "Python 3.9.2")])
def test_without_a_fitting_python_a_sentence_says_how_to_get_one(shell, pythons, found):
    done = shell(pythons)
    assert done.returncode == 1
    assert "Python 3.11 or 3.12 is needed" in done.stderr
    assert found in done.stderr
    assert "install" in done.stderr.splitlines()[-1].lower()


def run_setup(*args, **env):
    clean = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_MESSAGES", "LANG")}
    return subprocess.run([ROOT / "setup.sh", *args], env=clean | env, capture_output=True, text=True)


def test_help_lists_every_word():
    done = run_setup("help", LANG="C.UTF-8")
    assert done.returncode == 0
    for name in commands.WORDS:
        assert f"./setup.sh {name}" in done.stdout
    assert done.stdout == run_setup("--help", LANG="C.UTF-8").stdout


def test_help_speaks_japanese():
    assert "インストール" in run_setup("help", LANG="ja_JP.UTF-8").stdout
    assert "インストール" not in run_setup("help", LANG="ja_JP.UTF-8", LC_ALL="C.UTF-8").stdout


def test_an_unknown_word_is_named_beside_the_listing():
    done = run_setup("tset")
    assert done.returncode == 2
    assert "'tset'" in done.stderr
    assert "./setup.sh test" in done.stderr
    assert done.stdout == ""


def test_both_shell_files_stay_thin():
    for name in ("setup.sh", "setup.bat"):
        assert len((ROOT / name).read_text().splitlines()) <= 30


@pytest.fixture
def run(monkeypatch):
    """Runs a word; what it would start or install is kept instead."""
    kept = {}

    def hand_over(argv):
        kept["argv"] = argv
        raise SystemExit(0)

    def ensure(**asked):
        kept["ensured"] = asked
        return installation.Environment(ROOT)

    monkeypatch.setattr(systems, "hand_over", hand_over)
    monkeypatch.setattr(installation, "ensure", ensure)
    monkeypatch.setattr(installation, "install", lambda **asked: kept.update(installed=asked))
    monkeypatch.setattr(systems, "has_display", lambda: True)

    def word(*argv):
        try:
            kept["code"] = commands.main(list(argv))
        except SystemExit as ended:
            kept["code"] = ended.code
        return kept

    return word


@pytest.mark.parametrize("words", [["start"], []])
def test_starting_opens_the_browser_and_passes_options_on(run, words):
    argv = run(*words, "--server_port", "7861")["argv"]
    assert argv[1:] == [str(ROOT / "gui.py"), "--server_port", "7861", "--inbrowser"]


@pytest.mark.parametrize("decided", ["--headless", "--inbrowser", "--help"])
def test_the_user_decides_about_the_browser(decided):
    assert commands.page_args([decided], display=True) == [decided]


def test_no_browser_without_a_display():
    assert commands.page_args(["--share"], display=False) == ["--share"]


@pytest.mark.parametrize("name", ["demo", "doctor"])
def test_tools_run_in_the_environment(run, name):
    kept = run(name, "--fast")
    assert kept["argv"][1:] == [str(ROOT / "sd_scripts" / "tools" / f"{name}.py"), "--fast"]
    assert Path(kept["argv"][0]).is_relative_to(ROOT / ".venv")


def test_install_looks_at_the_machine_and_takes_options(run, monkeypatch):
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: True)
    asked = run("install", "--xformers", "--torch-index", "https://mirror/simple")["installed"]
    assert {"gpu", "xformers"} <= asked["extras"]
    assert asked["index"] == "https://mirror/simple"


def test_xformers_without_a_gpu_is_refused(run, monkeypatch, capsys):
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: False)
    kept = run("install", "--xformers")
    assert kept["code"] == 1
    assert "installed" not in kept
    assert "--sdpa" in capsys.readouterr().err


def test_a_failure_shows_the_other_programs_words_before_the_sentence(run, monkeypatch, capsys):
    def fail(**asked):
        raise SetupError("PyTorch could not be installed.", details="ERROR: its own words")

    monkeypatch.setattr(installation, "ensure", fail)
    assert run("start")["code"] == 1
    assert capsys.readouterr().err == "ERROR: its own words\n\nPyTorch could not be installed.\n"


def test_a_disk_that_fills_up_is_a_sentence(run, monkeypatch, capsys):
    def fill(**asked):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(installation, "ensure", fill)
    assert run("start")["code"] == 1
    assert capsys.readouterr().err.startswith("The installation stopped: the disk is full.")


def test_interrupting_says_that_nothing_is_lost(run, monkeypatch, capsys):
    def interrupt(**asked):
        raise KeyboardInterrupt

    monkeypatch.setattr(installation, "ensure", interrupt)
    assert run("start")["code"] == 130
    assert "goes on from here" in capsys.readouterr().err


def test_pytest_runs_on_up_to_four_cores():
    assert commands.pytest_args(["-k", "x"], cores=64) == ["-n4", "--dist=loadfile", "-k", "x"]
    assert commands.pytest_args([], cores=2) == ["-n2", "--dist=loadfile"]
    assert commands.pytest_args(["-n0"], cores=4) == ["-n0"]
