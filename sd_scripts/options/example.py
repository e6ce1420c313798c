"""Options of the example project: make_example.py and demo.py."""

from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import PathTo, Range, Unit, place


@dataclass(kw_only=True)
class MakeExampleOptions:
    """Makes an example project: free photographs, and tiny untrained models of every kind that the stages need."""

    folder: Annotated[str, *place("folder"), PathTo("folder")]
    """Folder to make the example in."""


@dataclass(kw_only=True)
class DemoOptions:
    """Runs the whole pipeline on the example project, from photographs to a trained checkpoint."""

    folder: Annotated[str, *place("folder"), PathTo("folder")] = "example"
    """Folder to make the example in."""

    max_train_steps: Annotated[int, Range(low=1), Unit("steps")] = 40
    """Training steps."""
