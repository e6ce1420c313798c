"""What an option changes."""

from dataclasses import dataclass, field
from typing import Any, Literal

Field = Literal[
    "said", "error", "losses", "rates", "weights", "header", "logged", "files", "samples", "computed", "threads"
]  # fmt: skip
"""What of a run shows the effect (tests/effects/run.py, Observed)."""


@dataclass(frozen=True)
class Effect:
    """Changing `flag` to `value` changes each of `seen_in`, and nothing in `unseen_in`.

    `given`: options that both runs have, besides those of every run of the script. {here} is the run's folder.
    `says`: a part of what is said, or of the error's sentence, when the option is set.
    """

    flag: str
    value: Any
    seen_in: tuple[Field, ...]
    given: dict[str, Any] = field(default_factory=dict)
    unseen_in: tuple[Field, ...] = ()
    says: str = ""
    script: str = "fine_tune.py"

    @property
    def name(self) -> str:
        return f"{self.script.removesuffix('.py').rpartition('/')[2]}-{self.flag}={self.value}"


def seen(flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    """An effect of fine_tune.py."""
    return Effect(flag, value, seen_in, given)


def unlike(script: str, flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    """An effect of another script, named by its path below sd_scripts without .py."""
    return Effect(flag, value, seen_in, given, script=f"{script}.py")


def adapted(flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    """An effect of train_network.py."""
    return unlike("train_network", flag, value, *seen_in, **given)


def refused(flag: str, value: Any, says: str, **given: Any) -> Effect:
    """fine_tune.py cannot do this here, or not together with `given`: it says so before any work."""
    return Effect(flag, value, ("error",), given, says=says)
