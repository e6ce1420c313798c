"""Strengths of a LoRA by the blocks of the U-Net, as a list of numbers ("LoRA block weight"). Needs no torch.

A block has the name of its place in the original layout: IN, MID, OUT; BASE is the text encoder.
"""

import json
import re

from sd_scripts.library.errors import BadOption


def _row(letters: str, numbers: range | tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"{letters}{number:02d}" for number in numbers)


_LISTS: dict[int, tuple[str, ...]] = {
    12: ("BASE", *_row("IN", (4, 5, 7, 8)), "MID", *_row("OUT", range(6))),
    17: ("BASE", *_row("IN", (1, 2, 4, 5, 7, 8)), "MID", *_row("OUT", range(3, 12))),
    20: ("BASE", *_row("IN", range(9)), "MID", *_row("OUT", range(9))),
    26: ("BASE", *_row("IN", range(12)), "MID", *_row("OUT", range(12))),
}
"""The blocks that a list of so many numbers is of; blocks that it leaves out keep their strength."""
_OF_SDXL = (12, 20)
_DIFFUSERS = re.compile(r"_(down|up)_blocks_(\d+)_(resnets|attentions|downsamplers|upsamplers)_(\d+)_")
_ORIGINAL = re.compile(r"lora_unet_(input|output)_blocks_(\d+)_")

_LETTERS = {"input": "IN", "output": "OUT"}

Strengths = dict[str, float]


def read_strengths(texts: list[str] | None, count: int, sdxl: bool | None) -> list[Strengths]:
    """{block: strength} for each of `count` networks, of texts such as [1,0,0.5,...]; without texts, none has any.

    `sdxl` None: not known yet. Errors: BadOption.
    """
    if not texts:
        return [{}] * count
    if len(texts) != count:
        raise BadOption("lbws", f"--lbws has {len(texts)} lists for {count} networks. Give one list for each.")
    return [_read(text, sdxl) for text in texts]


def _read(text: str, sdxl: bool | None) -> Strengths:
    try:
        numbers = [float(part) for part in text.strip().removeprefix("[").removesuffix("]").split(",")]
        json.dumps(numbers, allow_nan=False)
    except ValueError:
        sentence = "write numbers separated by commas, such as [1,1,0.5,...]"
        raise BadOption("lbws", f"--lbws {text}: {sentence}.") from None
    fitting = [length for length in _LISTS if sdxl is None or (length in _OF_SDXL) == sdxl]
    if len(numbers) not in fitting:
        kind = {True: " for SDXL", False: " for Stable Diffusion 1 and 2", None: ""}[sdxl]
        allowed = " or ".join(map(str, fitting))
        raise BadOption("lbws", f"--lbws {text}: it has {len(numbers)} numbers. Write {allowed}{kind}.")
    return dict(zip(_LISTS[len(numbers)], numbers, strict=True))


def strength_of(key: str, strengths: Strengths) -> float:
    """What the change of a layer is multiplied by."""
    return strengths.get(block_name(key), 1.0)


def block_name(key: str) -> str:
    """The block of a layer, by its name in networks' files; "" for what lies outside of them."""
    if key.startswith("lora_te"):
        return "BASE"
    if "_mid_block_" in key or "_middle_block_" in key:
        return "MID"
    original = _ORIGINAL.match(key)
    if original:
        return f"{_LETTERS[original[1]]}{int(original[2]):02d}"
    place = _DIFFUSERS.search(key)
    return _of_diffusers(place) if place else ""


def _of_diffusers(place: re.Match[str]) -> str:
    """Each level has three blocks; going down, the way in takes the first number, and the third is what shrinks."""
    level, within = int(place[2]), int(place[4])
    if place[1] == "down":
        return f"IN{3 * level + (3 if place[3] == 'downsamplers' else within + 1):02d}"
    return f"OUT{3 * level + (2 if place[3] == 'upsamplers' else within):02d}"
