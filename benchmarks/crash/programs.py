"""The scripts that are killed: training, caching, tagging, captioning, editing texts, merging."""

import hashlib
import importlib
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.crash.killing import Work
from benchmarks.crash.kind import damaged_files
from sd_scripts.library.data.caption_edits import BACKUPS
from sd_scripts.library.data.known_files import INDEX
from sd_scripts.library.events import EVENTS_VARIABLE, LineReader, Saved, from_line
from sd_scripts.library.io.hashes import sha256_of
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.values import to_argv

Facts = dict[str, str]
"""{file: what it holds}."""
TEXTS = (".txt", ".caption")


@dataclass
class Program:
    """A script with its options, in a copy of a template for each kill. `wanted`: what it comes to when left alone."""

    name: str
    script: str
    values: dict[str, Any]
    template: Path
    wanted: Facts = field(default_factory=dict)

    def begin(self, world: Path) -> None:
        """A copy of the template."""
        shutil.copytree(self.template, world, copy_function=_copy)

    def work(self, world: Path) -> Work:
        """The script as a terminal would start it."""
        return lambda: start(self.script, self._values(world), world)

    def _values(self, world: Path) -> dict[str, Any]:
        given = self.values.items()
        return {name: one.replace("{here}", str(world)) if isinstance(one, str) else one for name, one in given}

    @cached_property
    def before(self) -> Facts:
        """The texts and metadata as they were."""
        return facts_of(self.template)

    def learn(self, world: Path) -> None:
        """What this world holds is what is wanted."""
        self.wanted = facts_of(world)

    def damage(self, world: Path) -> list[str]:
        """Files that do not read, and texts that are neither what they were nor what they were to be."""
        found = damaged_files(world)
        for name, now in facts_of(world).items():
            if now not in (self.before.get(name), self.wanted.get(name)) and not name.startswith("out/"):
                found.append(f"{name} is neither the old one nor the new one")
        found += [f"{name} is gone" for name in self.before if not (world / name).is_file()]
        return found + self._unkept(world)

    def _unkept(self, world: Path) -> list[str]:
        """Texts that were changed in their place without what they were being kept."""
        if "edit_captions" not in self.script:
            return []
        kept = {path.name: path.read_bytes() for path in world.rglob(f"{BACKUPS}/[!.]*/*")}
        names = [name for name in self.before if name.endswith(TEXTS)]
        changed = [name for name in names if facts_of_file(world / name, world) != self.before[name]]
        lost = [name for name in changed if kept.get(Path(name).name) != (self.template / name).read_bytes()]
        return [f"{name} was changed and not kept as it was" for name in lost]

    def losses(self, world: Path) -> list[str]:
        """What is not as after a run that nobody disturbed."""
        now = facts_of(world)
        names = [name for name in self.wanted if now.get(name) != self.wanted[name]]
        return [f"{name} is not what it is without a crash" for name in names] + damaged_files(world)


class Training(Program):
    """A training that saves a model and its state after each step, and keeps the last of them."""

    def work(self, world: Path) -> Work:
        """The same command each time: it goes on from its newest whole state, where there is one."""
        values = self._values(world) | {"resume": "latest"}
        return lambda: start(self.script, values, world)

    def damage(self, world: Path) -> list[str]:
        """The same; states too, what was told to be saved, and that of models one is there once one was saved."""
        from sd_scripts.library.train.saving import is_whole

        found = super().damage(world)
        out = world / "out"
        saved = saved_files(world)
        found += [f"{path.name} does not read" for path in (*out.glob("X-*"), *out.glob("X.*")) if not is_whole(path)]
        models = [path for path in out.glob("X*") if not path.name.endswith("-state")] if out.is_dir() else []
        if any(event.kind == "model" for event in saved.values()) and not models:
            found.append("no model is left of those that were saved")
        for path, event in saved.items():
            if event.sha256 and "-step" in path.name and path.is_file() and sha256_of(path) != event.sha256:
                found.append(f"{path.name} is not what was saved")
        return found


def start(script: str, values: dict[str, Any], world: Path) -> None:
    """Runs a script in this process, as its last act."""
    from sd_scripts.library.program import run_program

    options = SCRIPTS[script]
    sys.argv = [script, *to_argv(options, values)]
    os.environ[EVENTS_VARIABLE] = str(world / "events.jsonl")
    os.chdir(world)
    work = importlib.import_module("sd_scripts." + script.removesuffix(".py").replace("/", ".")).work
    run_program(options, work)


def saved_files(world: Path) -> dict[Path, Saved]:
    """{file or folder: the last that was told of it} of what the program said that it saved."""
    found = [from_line(line) for line in LineReader(world / "events.jsonl").new_lines()]
    events = [one[1] for one in found if one]
    return {Path(event.path): event for event in events if isinstance(event, Saved)}


def facts_of(world: Path) -> Facts:
    """What the files hold that people care for: texts, metadata, latents, trained weights."""
    found = {}
    for path in sorted(world.rglob("*")):
        parts = path.relative_to(world).parts
        if path.is_file() and not any(".part" in part or part.endswith("-state") for part in parts):
            fact = facts_of_file(path, world)
            # The model of the step in which it was killed is not made up for, and backups have the time in their names.
            if fact and not any("-step" in part or part == BACKUPS for part in parts):
                found["/".join(parts)] = fact
    return found


def facts_of_file(path: Path, world: Path) -> str:
    """What a file holds, without the times that differ from run to run; "" of others."""
    if path.suffix in TEXTS:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix == ".json":
        try:
            held = json.dumps(json.loads(path.read_bytes()), sort_keys=True, ensure_ascii=False)
            if path.name == INDEX:
                # It reads; what it holds are times of files.
                return ""
            return hashlib.sha256(held.replace(str(world), "").encode()).hexdigest()
        except ValueError:
            return "damaged"
    if path.suffix == ".npz":
        from sd_scripts.library.data.npz import BrokenLatents, read_arrays

        try:
            arrays = read_arrays(path)
        except BrokenLatents:
            return "damaged"
        return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    return ""


def _copy(source: str, target: str) -> None:
    # Models are only read: a second name does.
    os.link(source, target) if source.endswith((".safetensors", ".onnx")) else shutil.copy2(source, target)
