"""What became of every value that was read: taken, changed, not taken, or nothing to take."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from kohya_gui.form import as_typed
from kohya_gui.words import say
from sd_scripts.library.telling import without_secrets

Source = Literal["ours", "kohya_ss", "toml", "command", "metadata"]
State = Literal["taken", "changed", "left", "unused"]
"""`left`: not taken, with the reason. `unused`: there was nothing to take, such as an empty field."""

SHOWN_LETTERS = 200


@dataclass(frozen=True)
class Line:
    """One value: its name where it was read, how it stood there, and the option and value that it became."""

    key: str
    given: str
    state: State
    why: str = ""
    flag: str | None = None
    value: Any = None


@dataclass
class Report:
    """Everything that was read from one source for one stage. `about`: what is to be known of it as a whole."""

    source: Source
    stage: str
    name: str = ""
    description: str = ""
    about: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Adds a line; a value that was read before for the same option gives way, and its line says so."""
        if line.flag is not None:
            self.lines = [self._overtaken(old, line.key) if old.flag == line.flag else old for old in self.lines]
        self.lines.append(line)

    def values(self) -> dict[str, Any]:
        """{flag: value} of what was taken."""
        return {line.flag: line.value for line in self.lines if line.flag is not None}

    def as_json(self) -> dict[str, Any]:
        """The report as the page shows it."""
        return {**asdict(self), "values": as_typed(self.stage, self.values())}

    def _overtaken(self, line: Line, key: str) -> Line:
        return replace(line, state="unused", flag=None, value=None, why=say("import.overtaken", other=key))


def shown(given: Any) -> str:
    """A value as it stood in its source, in as many letters as a line has room for."""
    text = {True: "true", False: "false", None: ""}.get(given) if isinstance(given, bool | None) else None
    if text is None:
        text = " ".join(map(str, given)) if isinstance(given, list) else str(given)
    text = without_secrets(text)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"
