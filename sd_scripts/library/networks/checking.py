"""What lies in a network's file, and what is wrong with it."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import Checkpoint, open_checkpoint
from sd_scripts.library.io.usable import holds_integers, wide
from sd_scripts.library.report import Report, counted

_DOWN, _UP = ".lora_down.weight", ".lora_up.weight"


def check(path: str | Path, every: bool, r: Report) -> None:
    """Tells of the matrices of LoRA, or of `every` tensor, how large their numbers are. Errors: BadFile."""
    file = open_checkpoint(path)
    modules = sorted({name.split(".")[0] for name in file.shapes})
    chosen = [name for name in file.shapes if every or name.endswith((_DOWN, _UP))]
    if not chosen:
        sentence = "has no tensor named ...lora_down.weight or ...lora_up.weight"
        raise BadFile(f"{path} {sentence}, so it is no LoRA file. --show_all_keys shows what it has.")
    r.say(f"{counted(len(modules), 'layer')}: {path}")
    r.say("name,shape,mean magnitude,least magnitude,largest magnitude")
    r.phase("check", f"Reading {counted(len(chosen), 'tensor')}.", total=len(chosen))
    for name in r.each(chosen, len(chosen)):
        r.say(_line(name, file.tensor(name)))
    found = list(faults(file))
    for text in found:
        r.notice(f"{path}: {text}", "warning")
    sound = "nothing is wrong with them" if not found else counted(len(found), "fault")
    r.summary(f"{counted(len(modules), 'layer')}, {counted(len(file.shapes), 'tensor')}: {sound}.", faults=len(found))


def faults(file: Checkpoint) -> Iterator[str]:
    """What keeps a file from being used, or from changing anything, in words."""
    whole = [name for name in file.shapes if holds_integers(name, file.tensor(name))]
    if whole:
        yield f"{counted(len(whole), 'tensor')} of integers, where networks have fractions, such as {whole[0]}."
    bad = [name for name in file.shapes if not bool(wide(file.tensor(name)).isfinite().all())]
    if bad:
        yield f"{counted(len(bad), 'tensor')} with numbers that are infinite or none, such as {bad[0]}."
    for key in (name.removesuffix(_DOWN) for name in file.shapes if name.endswith(_DOWN)):
        up, down = file.shapes.get(f"{key}{_UP}"), file.shapes[f"{key}{_DOWN}"]
        if up is None or len(up) < 2 or up[1] != down[0]:
            yield f"the matrices of {key} do not fit each other."
    still = [name for name in file.shapes if name.endswith(_UP) and not wide(file.tensor(name)).any()]
    if still:
        yield f"{counted(len(still), 'layer')} that changes nothing, such as {still[0]}."


def _line(name: str, tensor: Tensor) -> str:
    sizes = tensor.float().abs()
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    figures = (float(sizes.mean()), float(sizes.min()), float(sizes.max())) if sizes.numel() else (0.0, 0.0, 0.0)
    return f"{name},{shape}," + ",".join(f"{figure:.6g}" for figure in figures)
