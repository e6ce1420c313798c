"""The words that setup.sh and setup.bat understand."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from installer import chromium, environment, installation, machine, packages, problems
from sd_scripts.library import systems

ROOT = installation.ROOT
SETUP = "setup.bat" if systems.WINDOWS else "./setup.sh"


def start(args: Sequence[str]) -> int:
    """Open the page, with gui.py's own options."""
    python = installation.ensure().python
    systems.hand_over([str(python), str(ROOT / "gui.py"), *page_args(args, display=systems.has_display())])


def page_args(args: Sequence[str], *, display: bool) -> list[str]:
    """gui.py's arguments: the browser opens by itself where there is one, unless the user decided already."""
    decided = {"--inbrowser", "--headless", "--help", "-h"}
    return [*args, "--inbrowser"] if display and not decided & set(args) else list(args)


def install(args: Sequence[str]) -> int:
    """Install, and look at the machine anew."""
    parser = argparse.ArgumentParser(prog=f"{SETUP} install", description="Install everything, and start nothing.")
    parser.add_argument("--xformers", action="store_true", help="with xformers, and the older PyTorch it is built for")
    parser.add_argument("--torch-index", metavar="URL", help="package index to take PyTorch from")
    asked = parser.parse_args(args)
    has_gpu = machine.has_nvidia_gpu()
    if asked.xformers and not has_gpu:
        raise problems.SetupError(
            "xformers needs an NVIDIA GPU, and nvidia-smi does not answer here. Install without --xformers, "
            "and use --sdpa for fast attention."
        )
    before = environment.Environment(ROOT).stamp()
    with_tests = before is not None and "test" in before.extras
    extras = packages.extras_for(has_gpu=has_gpu, xformers=asked.xformers, test=with_tests)
    installation.install(extras=extras, index=asked.torch_index)
    print(f"Everything is installed. Start the page with: {SETUP}")
    return 0


def test(args: Sequence[str]) -> int:
    """Run every check, all of them even when one fails."""
    python = str(installation.ensure(test=True).python)
    env = os.environ | {"CHROMIUM_PATH": chromium.provide(), "OMP_NUM_THREADS": "1"}
    checks = {"ruff": ["check", "."], "mypy": [], "pytest": pytest_args(args, cores=os.cpu_count() or 1)}
    failed = [name for name, rest in checks.items() if not _passes([python, "-m", name, *rest], env)]
    print(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return 1 if failed else 0


def pytest_args(args: Sequence[str], *, cores: int) -> list[str]:
    """pytest's arguments: on several cores, unless the user said on how many."""
    decided = any(arg.startswith(("-n", "--numprocesses")) for arg in args)
    return list(args) if decided else [f"-n{min(4, cores)}", "--dist=loadfile", *args]


def demo(args: Sequence[str]) -> int:
    """Run the whole pipeline on the example project."""
    _tool("demo.py", args)


def doctor(args: Sequence[str]) -> int:
    """Look whether this machine can train."""
    _tool("doctor.py", args)


def show_help(args: Sequence[str]) -> int:
    """List the words."""
    print(help_text(os.environ))
    return 0


def _tool(name: str, args: Sequence[str]) -> NoReturn:
    python = installation.ensure().python
    systems.hand_over([str(python), str(ROOT / "sd_scripts" / "tools" / name), *args])


def _passes(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    print(f"== {' '.join(argv[2:])}", flush=True)
    return subprocess.run(list(argv), cwd=ROOT, env=dict(env)).returncode == 0


@dataclass(frozen=True)
class Word:
    """A word after ./setup.sh: what it does, and its line in the listing."""

    run: Callable[[Sequence[str]], int]
    usage: str
    english: str
    japanese: str


WORDS = {
    "start": Word(
        start, "[options]", "install what is missing, then open the page (also without any word)",
        "足りないものをインストールし、ページを開きます(何も付けない場合も同じ)",
    ),
    "install": Word(
        install, "[--xformers] [--torch-index URL]", "only install; also after a change of the graphics card",
        "インストールだけを行います(GPU を替えたときにも)",
    ),
    "demo": Word(
        demo, "", "run the whole pipeline on an example project, without a GPU",
        "サンプルの画像で全工程を実行します(GPU は不要)",
    ),
    "doctor": Word(
        doctor, "", "look whether this machine can train, and say what is missing",
        "この PC で学習できるかを調べ、足りないものを示します",
    ),
    "test": Word(
        test, "[pytest options]", "run the project's own checks",
        "このプロジェクト自身の検査を実行します",
    ),
    "help": Word(show_help, "", "this list", "この一覧"),
}  # fmt: skip


def help_text(environ: Mapping[str, str]) -> str:
    """The listing of all words, in Japanese where the system speaks it."""
    japanese = _language(environ).startswith("ja")
    rows = [(f"{SETUP} {name} {word.usage}".rstrip(), word.japanese if japanese else word.english)
            for name, word in WORDS.items()]  # fmt: skip
    more = (
        f"ページのオプション(--listen、--server_port など)は start に続けて書きます。一覧は {SETUP} start --help"
        if japanese
        else f"Options of the page (--listen, --server_port and others) follow start. All of them: {SETUP} start --help"
    )
    return "\n".join([*(f"  {usage}\n      {text}" for usage, text in rows), "", more])


def _language(environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")


def main(argv: Sequence[str]) -> int:
    """Run one word; its exit code."""
    if argv and argv[0] in ("-h", "--help"):
        name, rest = "help", argv[1:]
    elif not argv or argv[0].startswith("-"):
        name, rest = "start", argv
    else:
        name, rest = argv[0], argv[1:]
    if name not in WORDS:
        print(f"{SETUP} does not know the word {name!r}. It knows:\n\n{help_text(os.environ)}", file=sys.stderr)
        return 2
    try:
        return WORDS[name].run(rest)
    except problems.SetupError as error:
        return _say(error)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _say(problems.disk_filled_up())
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130


def _say(error: problems.SetupError) -> int:
    print(*([error.details, ""] if error.details else []), error, sep="\n", file=sys.stderr)
    return 1
