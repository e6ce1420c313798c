"""The example project: pictures, and one tiny untrained model for every stage."""

from collections.abc import Callable
from pathlib import Path

from sd_scripts.library.example import sd_models, taggers
from sd_scripts.library.example.pictures import write_pictures
from sd_scripts.library.io.atomic import replacing_folder
from sd_scripts.library.report import Report


def make_example(folder: Path, report: Report) -> None:
    """Makes pictures/ and models/ in `folder`; what is there already stays as it is."""
    pictures, models = folder / "pictures", folder / "models"
    makers: dict[Path, Callable[[Path], object]] = {
        pictures: write_pictures,
        models / "sd1.safetensors": sd_models.make_sd1,
        models / "blip": taggers.make_blip,
        models / "wd14": taggers.make_wd14,
        models / "deepdanbooru": taggers.make_deepdanbooru,
    }
    report.phase("make_example", f"Making the example project in {folder}", total=len(makers))
    for target, make in report.each(list(makers.items()), len(makers)):
        if not target.exists():
            _make_whole(target, make)
    report.summary(f"The example is ready: pictures in {pictures}, models in {models}.", models=len(makers) - 1)


def _make_whole(target: Path, make: Callable[[Path], object]) -> None:
    """A folder is there when all of it is: what is there is not made again. Files are so by themselves."""
    if target.suffix:
        make(target)
        return
    with replacing_folder(target) as beside:
        make(beside)
