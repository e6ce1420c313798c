"""What the page's server does when it is killed: keeping presets and projects, changing the queue, running it.

What it had answered stands in a file: whatever was answered must still be so afterwards.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.crash.killing import Work
from benchmarks.crash.kind import damaged_files
from kohya_gui.presets import PresetStore
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.trash import Trash

if TYPE_CHECKING:
    from kohya_gui.api import Studio

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "sd_scripts" / "finetune" / "merge_captions_to_metadata.py"
STAGE = "train"
ROUNDS, RUNS = 12, 3


class Answers:
    """What was answered, a line each: words that no kill can take back."""

    def __init__(self, world: Path) -> None:
        self.path = world / "answered.log"

    def note(self, *words: object) -> None:
        """An answer was given."""
        with open(self.path, "ab", buffering=0) as file:
            file.write((" ".join(map(str, words)) + "\n").encode())

    def all(self) -> list[list[str]]:
        """All answers; a last line that was cut short was none."""
        text = self.path.read_text() if self.path.exists() else ""
        return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


def studio_of(world: Path) -> "Studio":
    """The server side of the page, which may reach this world alone."""
    from kohya_gui.api import Studio

    return Studio(world / "runs", [world], REPOSITORY / "presets", REPOSITORY)


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer that is no refusal."""
    if "error" in answer or answer.get("findings"):
        raise RuntimeError(str(answer))
    return answer


@dataclass
class Presets:
    """Presets and a project are kept again and again; one preset is renamed back and forth."""

    name: str = "presets"

    def begin(self, world: Path) -> None:
        """A folder with nothing in it."""
        (world / "runs").mkdir(parents=True)

    def work(self, world: Path) -> Work:
        """So many rounds."""

        def work() -> None:
            studio, answers = studio_of(world), Answers(world)
            before = max((int(words[1]) for words in answers.all()), default=0)
            if "moved" in {preset["name"] for preset in studio.presets(stage=STAGE)["mine"]}:
                answered(studio.preset_edit(stage=STAGE, name="moved", new_name="two", description=str(before)))
            for number in range(before + 1, before + ROUNDS + 1):
                for name in ("one", "two"):
                    values = {"learning_rate": number * 1e-7}
                    answered(studio.preset_save(stage=STAGE, name=name, description=str(number), values=values))
                    answers.note(name, number)
                for old, new in (("two", "moved"), ("moved", "two")):
                    answered(studio.preset_edit(stage=STAGE, name=old, new_name=new, description=str(number)))

        return work

    def learn(self, world: Path) -> None:
        """What is wanted is what was answered."""

    def damage(self, world: Path) -> list[str]:
        """Files that do not read, and presets older than what was answered."""
        store = PresetStore(REPOSITORY / "presets", world / "runs" / "presets")
        found = damaged_files(world) + [f"{path.name} is no preset" for path in store.damaged(STAGE)]
        held = {preset.name: int(preset.description) for preset in store.all(STAGE)["mine"]}
        if "moved" in held and "two" in held:
            found.append("a preset that was renamed is there twice")
        held["two"] = max(held.get("moved", 0), held.get("two", 0))
        told = {words[0]: int(words[1]) for words in Answers(world).all()}
        older = [name for name, number in told.items() if held.get(name, 0) < number]
        return found + [f"preset {name} is lost or older" for name in older]

    def losses(self, world: Path) -> list[str]:
        """The same, after the rounds that came then."""
        return self.damage(world)


@dataclass
class Queueing:
    """Runs are queued, moved, named, cancelled, deleted and restored in a queue that is paused."""

    name: str = "queue"

    def begin(self, world: Path) -> None:
        """Pictures with captions, for runs that the page's own checks let pass."""
        _fill(world)

    def work(self, world: Path) -> Work:
        """So many rounds."""

        def work() -> None:
            studio, answers = studio_of(world), Answers(world)
            answered(studio.queue_pause(True))
            for number in range(4):
                values = {"train_data_dir": str(world / "pictures"), "out_json": str(world / f"{time.time()}.json")}
                first = answered(studio.start(stage="merge_captions", values=values, confirm=True))["run_id"]
                answers.note("waits", first)
                (copy,) = answered(studio.run_request(id=first, request="duplicate"))["runs"]
                answers.note("waits", copy)
                answered(studio.run_move(id=copy, to="first"))
                answered(studio.run_mark(id=copy, name=f"number {number}"))
                answers.note("named", copy)
                answered(studio.run_request(id=first, request="cancel"))
                answers.note("cancelled", first)
                if number % 2:
                    answers.note("deleted", first)
                    answered(studio.runs_delete(ids=[first]))

        return work

    def learn(self, world: Path) -> None:
        """What is wanted is what was answered."""

    def damage(self, world: Path) -> list[str]:
        """Files that do not read, and runs that are not as was answered."""
        store = RunStore(world / "runs")
        states = {run_id: store.status(run_id).state for run_id in store.ids()}
        found = damaged_files(world) + [f"record {run_id}" for run_id in states if store.record(run_id).damaged]
        waiting, trash = store.unended(), {record["id"] for record in Trash(store).records()}
        told = {words[1]: words[0] for words in Answers(world).all()}
        for run_id, word in told.items():
            as_told = {
                "waits": run_id in waiting or states.get(run_id) == "cancelled",
                "named": run_id in waiting and store.record(run_id).name.startswith("number"),
                "cancelled": states.get(run_id) == "cancelled",
                # It is noted before it is done.
                "deleted": run_id in trash or states.get(run_id) == "cancelled",
            }
            found += [] if as_told[word] else [f"run {run_id} was {word} and is {states.get(run_id)}"]
        return found + (["the order was damaged"] if store.order.was_damaged else [])

    def losses(self, world: Path) -> list[str]:
        """The same, after the rounds that came then."""
        return self.damage(world)


@dataclass
class Working:
    """The queue is worked off: the page, its worker and the script are killed together."""

    name: str = "queue at work"

    def begin(self, world: Path) -> None:
        """Pictures with captions."""
        _fill(world)

    def work(self, world: Path) -> Work:
        """Queues what was not queued yet, and waits until all has ended."""

        def work() -> None:
            studio, answers = studio_of(world), Answers(world)
            for number in range(len(answers.all()), RUNS):
                argv = [sys.executable, str(SCRIPT), str(world / "pictures"), str(world / f"{number}.json")]
                facts = {"title": "Merge", "argv": argv, "work_dir": str(world), "devices": ["cpu"]}
                answers.note("waits", studio._queue.add("merge_captions", f"number {number}", **facts).id)
            while studio.poll()["waiting"] or studio.poll()["active"]:
                time.sleep(0.05)

        return work

    def learn(self, world: Path) -> None:
        """What is wanted is what was answered."""

    def damage(self, world: Path) -> list[str]:
        """Files that do not read, and runs that are not there."""
        store = RunStore(world / "runs")
        told = [words[1] for words in Answers(world).all()]
        lost = [f"run {run_id} is lost" for run_id in told if run_id not in store.ids()]
        return damaged_files(world) + lost

    def losses(self, world: Path) -> list[str]:
        """All is done, but for the one that ran when it was killed: that is said to have failed."""
        store = RunStore(world / "runs")
        states = {words[1]: store.status(words[1]).state for words in Answers(world).all()}
        failed = [run_id for run_id, state in states.items() if state != "done"]
        found = [f"run {run_id} is {states[run_id]}" for run_id in failed if states[run_id] != "failed"]
        if len(failed) > 1:
            found.append(f"{len(failed)} runs failed by one kill")
        return found + self.damage(world)


def _fill(world: Path) -> None:
    from PIL import Image

    (world / "pictures").mkdir(parents=True)
    (world / "runs").mkdir()
    for stem in "ab":
        Image.new("RGB", (8, 8)).save(world / "pictures" / f"{stem}.png")
        (world / "pictures" / f"{stem}.caption").write_text(f"a picture of {stem}\n")
