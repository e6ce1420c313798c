"""Sample prompts: from a .txt, .toml or .json file to a list of what is to be drawn. Needs no torch."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.reading import parse_json, parse_toml, read_text
from sd_scripts.options.training import Samplers

OPTION = "sample_prompts"


@dataclass(frozen=True)
class Prompt:
    """A picture to draw. Sizes in px; `seed` and `sampler` None: as the run says.

    The last two are for models of other families: read, so that their users' files can be used, and not followed.
    """

    prompt: str
    negative_prompt: str = ""
    width: int = 512
    height: int = 512
    seed: int | None = None
    scale: float = 7.5
    sample_steps: int = 30
    sample_sampler: str | None = None
    guidance_scale: float | None = None
    controlnet_image: str | None = None


# What stands after two dashes in a line of a .txt file -> the field of Prompt.
_FLAGS = {
    "n": "negative_prompt",
    "w": "width",
    "h": "height",
    "d": "seed",
    "l": "scale",
    "s": "sample_steps",
    "ss": "sample_sampler",
    "g": "guidance_scale",
    "cn": "controlnet_image",
}


@dataclass(frozen=True)
class Grammar:
    """What prompts of a kind may say: {flag of a line: field}, and how each field of `kind` is read from a value."""

    kind: type
    flags: Mapping[str, str]
    readers: Mapping[str, Callable[[Any, str], Any]]


# Fields that Stable Diffusion has no use for, and why.
_UNUSED = {
    "guidance_scale": "--g {value} is for models that were distilled for guidance, as FLUX was; here --l is the scale",
    "controlnet_image": "--cn {value} needs a ControlNet, and none is trained here",
}
# How a prompt is written into a file of this ending; in others one stands in a line.
_HOW = {".toml": 'Write [[prompt.subset]], and below it prompt = "..."', ".json": 'Write ["..."].'}
LONGEST_STEPS = 999
# Far above what any model draws, and far below what fills the memory with noise.
LONGEST_SIDE_PX = 16_384
# A model reads a few hundred words.
LONGEST_LETTERS = 20_000
# So many pictures' texts stand in for prompts.
OWN = 4


def read_prompts(path: str, grammar: Grammar | None = None) -> list[Any]:
    """The prompts of a file; without a grammar they are those of samples.

    Errors: BadOption, naming the file and the line or prompt that is not understood.
    """
    file = Path(path)
    if not file.is_file():
        raise BadOption(
            OPTION, f"--sample_prompts {path}: there is no such file. Write one prompt a line into a .txt file."
        )
    try:
        text = read_text(file)
        found = _READERS.get(file.suffix.lower(), read_lines)(text, path, grammar or SAMPLES)
    except UnicodeDecodeError as error:
        raise BadOption(OPTION, f"{path} is not UTF-8 text. Save it as UTF-8.") from error
    except OSError as error:
        raise BadOption(OPTION, f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise BadOption(OPTION, f"{path} is broken: {error}.") from error
    if not found:
        raise BadOption(OPTION, f"{path} has no prompts. {_HOW.get(file.suffix.lower(), 'Write one a line.')}")
    return found


def prompts_of_images(images: Iterable[TrainImage]) -> list[Prompt]:
    """What is drawn when no prompts are given: the first few pictures' texts, in their sizes."""
    return [Prompt(image.text, width=image.bucket_px[0], height=image.bucket_px[1]) for image in islice(images, OWN)]


def unused(prompt: Prompt) -> list[str]:
    """What of a prompt cannot be followed, each with its reason."""
    given = {name: getattr(prompt, name) for name in _UNUSED}
    return [_UNUSED[name].format(value=value) for name, value in given.items() if value is not None]


def whole_eights(prompt: Prompt) -> Prompt:
    """The prompt with its sides rounded to multiples of 8, as the model needs them."""
    return replace(prompt, width=max(8, round(prompt.width / 8) * 8), height=max(8, round(prompt.height / 8) * 8))


def read_lines(text: str, where: str, grammar: Grammar) -> list[Any]:
    """The prompts of a text, one a line, but for empty lines and comments. Errors: BadOption, which says `where`."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    kept = [(number, line) for number, line in numbered if line and line[0] != "#"]
    return [_read_line(line, f"{where}, line {number}", grammar) for number, line in kept]


def _read_line(line: str, where: str, grammar: Grammar) -> Any:
    """A prompt and its options: "a cat --n bad --w 512 --ss euler_a"."""
    prompt, *options = re.split(r"\s--(?=\S)", f" {line}")
    values: dict[str, Any] = {"prompt": prompt.strip()}
    for option in options:
        flag, _, value = option.strip().partition(" ")
        flag = flag.lower()
        if flag not in grammar.flags:
            known = ", ".join("--" + f for f in grammar.flags)
            raise BadOption(OPTION, f"{where}: there is no option --{flag}. Use {known}.")
        values[grammar.flags[flag]] = value.strip()
    return _checked(values, where, grammar)


def _read_json(text: str, path: str, grammar: Grammar) -> list[Any]:
    return _read_list(parse_json(text), path, grammar)


def _read_toml(text: str, path: str, grammar: Grammar) -> list[Any]:
    """[prompt] gives defaults, each [[prompt.subset]] one prompt."""
    whole = parse_toml(text)
    table = whole.pop("prompt", {})
    if whole:
        name = next(iter(whole))
        raise BadOption(OPTION, f"{path}: {name} stands outside of [prompt]. Write it below [prompt], or leave it out.")
    if not isinstance(table, dict):
        raise BadOption(OPTION, f"{path}: write [prompt], and a [[prompt.subset]] for each prompt.")
    subsets = table.pop("subset", [{}] if table else [])
    if not isinstance(subsets, list) or not all(isinstance(subset, dict) for subset in subsets):
        raise BadOption(OPTION, f"{path}: write [prompt], and a [[prompt.subset]] for each prompt.")
    return _read_list([{**table, **subset} for subset in subsets], path, grammar)


def _read_list(rows: Any, path: str, grammar: Grammar) -> list[Any]:
    if not isinstance(rows, list):
        raise BadOption(OPTION, f"{path} must hold a list of prompts.")
    return [_read_row(row, f"{path}, prompt {number}", grammar) for number, row in enumerate(rows, 1)]


def _read_row(row: Any, where: str, grammar: Grammar) -> Any:
    if isinstance(row, str):
        return _read_line(row, where, grammar)
    if not isinstance(row, dict):
        raise BadOption(OPTION, f"{where} is neither a text nor a table.")
    known = [field.name for field in fields(grammar.kind)]
    for name in row:
        if name not in known:
            raise BadOption(OPTION, f"{where}: there is no field {name}. Use {', '.join(known)}.")
    return _checked(row, where, grammar)


def _checked(values: dict[str, Any], where: str, grammar: Grammar) -> Any:
    if not isinstance(values.get("prompt"), str):
        raise BadOption(OPTION, f"{where} has no prompt.")
    if len(values["prompt"]) > LONGEST_LETTERS:
        raise BadOption(OPTION, f"{where} has {len(values['prompt']):,} letters. {LONGEST_LETTERS:,} are the most.")
    return grammar.kind(**{name: grammar.readers[name](value, f"{where}: {name}") for name, value in values.items()})


def as_text(value: Any, where: str) -> str:
    """A field that is text. Errors: BadOption, beginning with `where`, as of the readers below."""
    if not isinstance(value, str):
        raise BadOption(OPTION, f'{where} "{value}" is no text. Put quotes around it, or leave it out.')
    return value


def as_number(low: float, kind: type[int] | type[float], high: float = 2**63) -> Callable[[Any, str], Any]:
    """A reader of numbers within limits."""

    def convert(value: Any, where: str) -> Any:
        try:
            number = kind(value)
        except (TypeError, ValueError, OverflowError) as error:
            what = "a whole number" if kind is int else "a number"
            raise BadOption(OPTION, f'{where} "{value}" is not {what}.') from error
        if not low <= number <= high:
            limit = f"{high} or less" if number > high else f"{low} or more"
            raise BadOption(OPTION, f"{where} {value} must be {limit}.")
        return number

    return convert


def as_sampler(value: Any, where: str) -> str:
    """A field that names a sampler."""
    if value not in get_args(Samplers):
        raise BadOption(OPTION, f'{where} "{value}": there is no such sampler. Use {", ".join(get_args(Samplers))}.')
    return str(value)


_READ: dict[str, Callable[[Any, str], Any]] = {
    "prompt": as_text,
    "negative_prompt": as_text,
    "width": as_number(8, int, LONGEST_SIDE_PX),
    "height": as_number(8, int, LONGEST_SIDE_PX),
    "seed": as_number(0, int),
    "scale": as_number(0, float),
    "sample_steps": as_number(1, int, LONGEST_STEPS),
    "sample_sampler": as_sampler,
    "guidance_scale": as_number(0, float),
    "controlnet_image": as_text,
}
SAMPLES = Grammar(Prompt, _FLAGS, _READ)
_READERS: dict[str, Callable[[str, str, Grammar], list[Any]]] = {".json": _read_json, ".toml": _read_toml}
