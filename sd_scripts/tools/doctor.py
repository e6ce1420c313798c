"""Look whether this machine can train: versions, device, disk, ports, and two real steps on a tiny model."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent.parent
State = Literal["ok", "note", "bad"]
GB = 1_000_000_000
PAGE_PORT = 7860
TIMEOUT_S = 600.0
SHOWN_PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "safetensors", "gradio",
    "onnxruntime", "onnxruntime-gpu", "bitsandbytes", "xformers",
)  # fmt: skip
HARMFUL_PACKAGES = ("torchvision", "timm", "open_clip_torch", "torchao")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; a `bad` one keeps the machine from training, a `note` does not."""

    subject: str
    state: State
    text: str


def versions(pinned: dict[str, str], version_of: Callable[[str], str | None]) -> Iterator[Finding]:
    """The packages that matter, beside the versions that were installed on purpose."""
    shown = {name: version for name in SHOWN_PACKAGES if (version := version_of(name))}
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield Finding("Packages", "ok", ", ".join(f"{name} {version}" for name, version in shown.items()))
    changed = [
        f"{name} {found} instead of {wanted}"
        for name, wanted in pinned.items()
        if (found := version_of(name)) and found.split("+")[0] != wanted
    ]
    if changed:
        text = f"{', '.join(changed)}. Put back with: ./setup.sh install"
        yield Finding("Packages", "note", text)
    if harmful := [name for name in HARMFUL_PACKAGES if version_of(name)]:
        text = f"{', '.join(harmful)} is installed and disturbs transformers; remove it from .venv with pip uninstall"
        yield Finding("Packages", "note", text)


def device() -> Finding:
    """What PyTorch computes on."""
    import torch

    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        return Finding("Device", "ok", f"cuda: {facts.name}, {facts.total_memory / GB:.1f} GB")
    if torch.backends.mps.is_available():
        return Finding("Device", "ok", "mps: the Mac's own GPU")
    if shutil.which("nvidia-smi"):
        text = (
            f"cpu, although there is an NVIDIA driver: this PyTorch ({torch.__version__}) cannot use it. "
            "Run ./setup.sh install again; if that does not help, update the driver"
        )
        return Finding("Device", "note", text)
    return Finding("Device", "note", f"cpu with {os.cpu_count()} cores: fine for trying things, slow for real training")


def memory() -> Finding:
    """Main memory."""
    import psutil

    facts = psutil.virtual_memory()
    return Finding("Memory", "ok", f"{facts.available / GB:.1f} of {facts.total / GB:.1f} GB free")


def disk(folder: Path, free_bytes: int) -> Finding:
    """Space for what a training writes; a checkpoint of SD1 in float32 has 4 GB."""
    text = f"{free_bytes / GB:.1f} GB free at {folder}"
    if free_bytes < 1 * GB:
        return Finding("Disk", "bad", f"{text}: no checkpoint fits; free some space")
    return Finding("Disk", "ok", text) if free_bytes >= 10 * GB else Finding("Disk", "note", f"{text}: two checkpoints")


def port(number: int = PAGE_PORT) -> Finding:
    """Whether the page's usual port is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return Finding("Port", "note", f"{number} is taken; start the page with --server_port and another number")
    return Finding("Port", "ok", f"{number} is free for the page")


def training(folder: Path) -> Finding:
    """Two real training steps on a tiny model, by the same scripts that train real ones."""
    started_s = time.monotonic()
    for name, argv in training_commands(folder).items():
        if name == "train":
            write_metadata(folder)
        reason = _run(argv)
        if reason is not None:
            return Finding("Training", "bad", f"{Path(argv[1]).name} failed:\n{reason}")
    if not (folder / "out" / "doctor.safetensors").is_file():
        return Finding("Training", "bad", "two steps ran, but no checkpoint was written")
    return Finding("Training", "ok", f"two steps and a checkpoint in {time.monotonic() - started_s:.0f} s")


def training_commands(folder: Path) -> dict[str, list[str]]:
    """The commands: make the example, train on it."""
    scripts = ROOT / "sd_scripts"
    train = [
        f"--pretrained_model_name_or_path={folder / 'models' / 'sd1.safetensors'}",
        f"--train_data_dir={folder / 'pictures'}",
        f"--in_json={folder / 'meta.json'}",
        f"--output_dir={folder / 'out'}",
        "--output_name=doctor",
        "--save_model_as=safetensors",
        "--resolution=256,256",
        "--train_batch_size=1",
        "--max_train_steps=2",
    ]
    return {
        "example": [sys.executable, str(scripts / "tools" / "make_example.py"), str(folder)],
        "train": [sys.executable, str(scripts / "fine_tune.py"), *train],
    }


def write_metadata(folder: Path) -> None:
    """A caption for every picture of the example."""
    entries = {picture.stem: {"caption": "a picture"} for picture in (folder / "pictures").iterdir()}
    (folder / "meta.json").write_text(json.dumps(entries, indent=2), encoding="utf-8")


def _run(argv: Sequence[str]) -> str | None:
    """The end of what the command printed when it failed; None when it did not."""
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            list(argv), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
            errors="replace", timeout=TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it was not done after {TIMEOUT_S / 60:.0f} minutes"
    return "\n".join(done.stdout.splitlines()[-15:]) if done.returncode != 0 else None


def verdict(findings: Sequence[Finding]) -> str:
    """All findings in one or two plain sentences."""
    bad = [finding.subject.lower() for finding in findings if finding.state == "bad"]
    if bad:
        return f"This machine cannot train yet. Look at: {', '.join(bad)}."
    notes = [finding.subject.lower() for finding in findings if finding.state == "note"]
    return "This machine can train." + (f" Worth a look: {', '.join(dict.fromkeys(notes))}." if notes else "")


def main() -> int:
    """Print each finding as it is made, then the verdict."""
    marks = {"ok": "ok  ", "note": "note", "bad": "BAD "}
    findings = []
    for finding in look():
        findings.append(finding)
        print(f"{marks[finding.state]}  {finding.subject}: {finding.text}", flush=True)
    print(f"\n{verdict(findings)}")
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def look() -> Iterator[Finding]:
    """Everything, the slow last."""
    yield from versions(_pinned(ROOT / ".venv" / "constraints.txt"), _version_of)
    yield device()
    yield memory()
    places = {folder.stat().st_dev: folder for folder in (Path(tempfile.gettempdir()), Path.home(), ROOT)}
    yield from (disk(folder, shutil.disk_usage(folder).free) for folder in places.values())
    yield port()
    print("      Training two steps on a tiny model ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        yield training(Path(folder))


def _pinned(constraints: Path) -> dict[str, str]:
    if not constraints.is_file():
        return {}
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(main())
