"""Makes the folders that DreamBooth and LoRA trainings read: img, reg, log and model. Needs no torch."""

import re
from pathlib import Path

from sd_scripts.library.data.copies import Copies, check_target
from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report, counted
from sd_scripts.options.picture_tools import MakeFoldersOptions

# What some system does not take in a name; folders go from one to another.
_BAD = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
LONGEST_WORDS = 150
"""Letters; a name may have 255 bytes."""


def make_folders(options: MakeFoldersOptions, report: Report) -> None:
    """The whole work. Errors: BadOption, BadFile; NothingUsable, when no picture can be copied."""
    root = Path(options.output_folder).expanduser()
    plan = _plan(options, root)
    for place in (root / "img", root / "reg"):
        sources = [image.parent for images in plan.values() for image in images[:1]]
        check_target(place, "output_folder", options.target.add_to_existing, sources)
    total = sum(map(len, plan.values()))
    copies = Copies(report)
    report.phase("copy", f"Copying {counted(total, 'picture')} to {root}", total)
    todo = [(image, folder) for folder, images in plan.items() for image in images]
    for image, folder in report.each(todo, total):
        copies.put(image, folder)
    for name in ("log", "model"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for folder, images in plan.items():
        report.say(f"  {folder.relative_to(root)}: {counted(len(images), 'picture')}")
    reg = f' --reg_data_dir "{root / "reg"}"' if options.reg_pictures else ""
    report.say(f'Train with: --train_data_dir "{root / "img"}"{reg}')
    report.say(f'            --output_dir "{root / "model"}" --logging_dir "{root / "log"}"')
    copies.end(total, root)


def _plan(options: MakeFoldersOptions, root: Path) -> dict[Path, list[Path]]:
    """{folder to make: its pictures}. Errors: BadOption."""
    if not options.train_pictures:
        raise BadOption("train_pictures", "--train_pictures is needed: the folder of training pictures.")
    instance = _words(options.instance_prompt, "instance_prompt")
    kind = _words(options.class_prompt, "class_prompt")
    if not instance and not kind:
        raise BadOption("instance_prompt", "--instance_prompt or --class_prompt is needed: the words that are trained.")
    words = " ".join(filter(None, [instance, kind]))
    images = find_images(Path(options.train_pictures).expanduser(), option="train_pictures")
    plan = {root / "img" / f"{options.repeats}_{words}": images}
    if options.reg_pictures:
        if not kind:
            raise BadOption("class_prompt", "--class_prompt is needed for regularisation pictures: what they show.")
        regularising = find_images(Path(options.reg_pictures).expanduser(), option="reg_pictures")
        plan[root / "reg" / f"{options.reg_repeats}_{kind}"] = regularising
    return plan


def _words(text: str | None, option: str) -> str:
    """Words that can stand in a folder's name. Errors: BadOption."""
    words = " ".join((text or "").split())
    if found := _BAD.search(words):
        raise BadOption(option, f'--{option} "{words}": a folder\'s name cannot have "{found[0]}" in it.')
    if words.endswith("."):
        raise BadOption(option, f'--{option} "{words}": a folder\'s name cannot end with a full stop.')
    if len(words) > LONGEST_WORDS:
        raise BadOption(option, f"--{option} is too long for a folder's name. Use {LONGEST_WORDS} letters at most.")
    return words
