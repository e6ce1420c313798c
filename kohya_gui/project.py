"""Projects: pictures, base model, working folder and name, typed once."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Project:
    """What the user works on."""

    name: str = ""
    pictures: list[str] = field(default_factory=list)
    model: str = ""
    work_dir: str = ""
    output_name: str = ""

    @property
    def output_dir(self) -> Path:
        """Where trained models go."""
        return Path(self.work_dir) / "output"

    @property
    def logging_dir(self) -> Path:
        """Where TensorBoard logs go."""
        return Path(self.work_dir) / "logs"

    def as_json(self) -> dict[str, Any]:
        """The project as the page knows it."""
        return asdict(self)
