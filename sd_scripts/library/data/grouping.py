"""Copies pictures into folders by their buckets. Needs no torch."""

from collections import Counter
from pathlib import Path

from sd_scripts.library.data.buckets import BucketRules, Fit, rules_within, too_small
from sd_scripts.library.data.copies import Copies, check_not_below, check_target, copy_file
from sd_scripts.library.data.images import UnreadableImage, find_images, image_size
from sd_scripts.library.data.pixels import read_pixels, write_fitted
from sd_scripts.library.report import Report, counted
from sd_scripts.options.picture_tools import GroupImagesOptions


def group_images(options: GroupImagesOptions, report: Report) -> None:
    """The whole work. Errors: BadOption, BadFile; NothingUsable, when no picture can be read."""
    files = options.files
    source, target = Path(files.input_folder).expanduser(), Path(files.output_folder).expanduser()
    rules = rules_within(options.size.max_resolution, options.buckets)
    images = find_images(source, files.recursive, "input_folder")
    check_target(target, "output_folder", options.target.add_to_existing, [source])
    if files.recursive:
        check_not_below(target, "output_folder", source)
    copies, sizes = Copies(report), Counter[tuple[int, int]]()
    report.phase("copy", f"Copying {counted(len(images), 'picture')} by their buckets", len(images))
    for image in report.each(images, len(images)):
        try:
            fit = _fit(image, rules)
            _put(copies, image, fit, target, files.fit)
        except UnreadableImage as error:
            report.failed_item(image, str(error))
            continue
        sizes[fit.bucket_px] += 1
    rows = [{"width": w, "height": h, "images": count} for (w, h), count in sorted(sizes.items())]
    for row in rows:
        report.say(f"  {row['width']}x{row['height']}: {row['images']:,}")
    copies.end(len(images), target, {"buckets": rows})


def _fit(image: Path, rules: BucketRules) -> Fit:
    fit = rules.fit(image_size(image))
    if fit is None:
        raise UnreadableImage(too_small(rules.step_px))
    return fit


def _put(copies: Copies, image: Path, fit: Fit, target: Path, fitted: bool) -> None:
    folder = target / f"{fit.bucket_px[0]}x{fit.bucket_px[1]}"
    if not fitted:
        copies.put(image, folder, copy_file)
        return

    def write(source: Path, place: Path) -> None:
        write_fitted(read_pixels(source, keep_alpha=True), fit, place)

    copies.put(image, folder, write, ".png")
