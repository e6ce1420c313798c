"""The prompts that are drawn: of --prompt or --from_file, each with options of its own. Needs no torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.prompts import (
    LONGEST_SIDE_PX,
    LONGEST_STEPS,
    Grammar,
    as_number,
    as_sampler,
    as_text,
    read_lines,
    read_prompts,
)
from sd_scripts.options.gen_img import PromptOptions

Reader = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Asked:
    """A prompt and what it says of its pictures; None where the command line says it. Sizes in px."""

    prompt: str
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    seed: tuple[int, ...] = ()
    scale: float | None = None
    negative_scale: float | None = None
    sample_steps: int | None = None
    sample_sampler: str | None = None
    strength: float | None = None
    network_mul: tuple[float, ...] | None = None
    original_width: int | None = None
    original_height: int | None = None
    original_width_negative: int | None = None
    original_height_negative: int | None = None
    crop_left: int | None = None
    crop_top: int | None = None


def _several(read: Reader) -> Reader:
    """A reader of numbers with commas between them, or of a list."""

    def convert(value: Any, where: str) -> tuple[Any, ...]:
        parts = value if isinstance(value, list) else str(value).split(",")
        return tuple(read(part, where) for part in parts)

    return convert


_SIDE, _CUT = as_number(1, int), as_number(0, int)
GRAMMAR = Grammar(
    Asked,
    {
        "n": "negative_prompt",
        "w": "width",
        "h": "height",
        "d": "seed",
        "l": "scale",
        "nl": "negative_scale",
        "s": "sample_steps",
        "ss": "sample_sampler",
        "t": "strength",
        "am": "network_mul",
        "ow": "original_width",
        "oh": "original_height",
        "nw": "original_width_negative",
        "nh": "original_height_negative",
        "cl": "crop_left",
        "ct": "crop_top",
    },
    {
        "prompt": as_text,
        "negative_prompt": as_text,
        "width": as_number(8, int, LONGEST_SIDE_PX),
        "height": as_number(8, int, LONGEST_SIDE_PX),
        "seed": _several(as_number(0, int)),
        "scale": as_number(0, float),
        "negative_scale": as_number(0, float),
        "sample_steps": as_number(1, int, LONGEST_STEPS),
        "sample_sampler": as_sampler,
        "strength": as_number(0, float, 1),
        "network_mul": _several(as_number(-100, float, 100)),
        **dict.fromkeys(("original_width", "original_height"), _SIDE),
        **dict.fromkeys(("original_width_negative", "original_height_negative"), _SIDE),
        **dict.fromkeys(("crop_left", "crop_top"), _CUT),
    },
)


def read_asked(options: PromptOptions) -> list[Asked]:
    """All prompts, those of --prompt first. Errors: BadOption."""
    found: list[Asked] = []
    if options.prompt is not None:
        with _blaming("prompt"):
            found += read_lines(options.prompt, "--prompt", GRAMMAR)
    if options.from_file:
        if not Path(options.from_file).is_file():
            sentence = "there is no such file. Write one prompt a line into a .txt file."
            raise BadOption("from_file", f"--from_file {options.from_file}: {sentence}")
        with _blaming("from_file"):
            found += read_prompts(options.from_file, GRAMMAR)
    if not found:
        raise BadOption("prompt", "--prompt is needed: what is to be seen; or --from_file with prompts in a file.")
    return found


@contextmanager
def _blaming(option: str) -> Iterator[None]:
    """What is wrong with a prompt is this option's fault."""
    try:
        yield
    except BadOption as error:
        raise BadOption(option, str(error)) from error
