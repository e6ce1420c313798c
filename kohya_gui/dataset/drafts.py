"""Edits that are not saved yet, and the way back from them."""

from collections import deque
from dataclasses import dataclass, field

MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Draft:
    """A text as it was edited. `base`: what the file held when editing began."""

    text: str
    base: str


@dataclass
class Step:
    """One edit: {file: its text before}. `typing`: further typing in the same file belongs to it."""

    before: dict[str, str]
    typing: bool = False


@dataclass
class Steps:
    """What can be undone, and done again."""

    back: deque[Step] = field(default_factory=lambda: deque(maxlen=MOST_STEPS))
    forth: deque[Step] = field(default_factory=lambda: deque(maxlen=MOST_STEPS))

    def note(self, before: dict[str, str], typing: bool) -> None:
        """Remembers an edit; typing goes on with the step that it began."""
        self.forth.clear()
        last = self.back[-1] if self.back else None
        if not (typing and last and last.typing and last.before.keys() == before.keys()):
            self.back.append(Step(before, typing))

    def forget(self, place: str) -> None:
        """Others have written a file: going back or forth leaves it alone from now on."""
        for steps in (self.back, self.forth):
            for step in [step for step in steps if place in step.before]:
                del step.before[place]
                if not step.before:
                    steps.remove(step)

    def settle(self) -> None:
        """What is typed from now on is a step of its own."""
        if self.back:
            self.back[-1].typing = False
