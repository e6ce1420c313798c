"""The files of pictures: their names, and the texts in them that say how they were made. Needs no torch."""

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sd_scripts.library.generate.columns import Column
from sd_scripts.library.generate.plan import Picture
from sd_scripts.options.gen_img import GenImgOptions, PictureFileOptions
from sd_scripts.options.spec import flat_values, option_specs
from sd_scripts.options.values import to_argv

# What says how many pictures there are, and where they go: one picture is made again without it.
_OF_MANY = ("grid", "grid_multipliers", "from_file", "n_iter", "images_per_prompt", "iter_same_seed", "outdir",
            "shuffle_prompts", "sequential_file_name", "use_original_file_name", "batch_size", "vae_batch_size",
            "highres_fix_save_1st", "network_show_meta", "console_log_level", "console_log_file",
            "console_log_simple")  # fmt: skip


class FileNames:
    """Names of new files in a folder; none is the name of a file that is there."""

    def __init__(self, options: PictureFileOptions) -> None:
        self._options = options
        self._folder = Path(options.outdir)
        self._time = time.strftime("%Y%m%d%H%M%S")
        self._count = 0

    def next(self, picture: Picture, mark: str = "") -> Path:
        """The file of a picture; `mark` stands at its end."""
        self._count += 1
        source = picture.source if self._options.use_original_file_name else None
        before = source.stem if source else "im"
        if self._options.sequential_file_name:
            return self._numbered(before, mark)
        name = f"{before}_{self._time}_{self._count - 1:06d}_{picture.number:03d}_{picture.seed}{mark}.png"
        return self._folder / name

    def grid(self) -> Path:
        """The file of a grid."""
        return self._folder / f"grid_{self._time}.png"

    def _numbered(self, before: str, mark: str) -> Path:
        while (path := self._folder / f"{before}_{self._count:06d}{mark}.png").exists():
            self._count += 1
        return path


def told(options: GenImgOptions, picture: Picture, column: Column) -> dict[str, str]:
    """How a picture was made: facts by the names that sd-scripts uses, in one text as AUTOMATIC1111's web interface has
    it, and the command that makes it again. Files have their names only: folders are nobody's business."""
    facts = {
        "prompt": picture.prompt,
        "negative-prompt": picture.negative_prompt,
        "seed": str(picture.seed),
        "sampler": picture.sampler,
        "steps": str(picture.steps),
        "scale": str(picture.scale),
        "negative-scale": "" if picture.negative_scale is None else str(picture.negative_scale),
        "model": Path(column.model).name,
        "column": column.label,
    }
    found = {name: text for name, text in facts.items() if text}
    return found | {"parameters": _parameters(picture, column), "command": command(options, picture, column)}


def command(options: GenImgOptions, picture: Picture, column: Column) -> str:
    """The command that makes one picture again, beside its files."""
    values = {name: value for name, value in _values(options, picture, column).items() if value is not None}
    words = to_argv(GenImgOptions, values)
    return shlex.join(["gen_img.py", *words])


def _values(options: GenImgOptions, picture: Picture, column: Column) -> dict[str, Any]:
    values = {name: value for name, value in flat_values(options).items() if name not in _OF_MANY}
    values |= {
        "ckpt": column.model,
        "prompt": picture.prompt,
        "negative_prompt": picture.negative_prompt or None,
        "seed": picture.seed,
        "W": picture.size_px[0],
        "H": picture.size_px[1],
        "steps": picture.steps,
        "scale": picture.scale,
        "negative_scale": picture.negative_scale,
        "sampler": picture.sampler,
        "strength": picture.strength if picture.source or options.stages.highres_fix_scale else None,
        "image_path": picture.source and str(picture.source),
        "mask_path": picture.mask and str(picture.mask),
    }
    values |= _sizes(picture) if values["original_width"] or values["original_height"] else {}
    values |= _added(options, picture, column)
    specs = option_specs(GenImgOptions)
    return {name: _named(value) if specs[name].path else value for name, value in values.items()}


def _sizes(picture: Picture) -> dict[str, int]:
    height, width, *_ = picture.told.positive
    other_height, other_width, *_ = picture.told.negative
    return {
        "original_width": width,
        "original_height": height,
        "original_width_negative": other_width,
        "original_height_negative": other_height,
    }


def _added(options: GenImgOptions, picture: Picture, column: Column) -> dict[str, Any]:
    """Networks, embeddings and hypernetworks with the strengths that this picture was drawn with."""
    added = replace(options.added)
    networks, embeddings = list(added.network_weights or []), list(added.textual_inversion_embeddings or [])
    hypernetworks = list(added.hypernetwork_weights or [])
    of_networks = _each(added.network_mul, len(networks))
    of_hypernetworks = _each(added.hypernetwork_mul, len(hypernetworks))
    if picture.multipliers:
        of_networks = _each(list(picture.multipliers), len(networks))
    if column.strength is not None and not column.file:
        of_networks = [column.strength] * len(networks)
        of_hypernetworks = [column.strength] * len(hypernetworks)
    if column.file:
        strength = 1.0 if column.strength is None else column.strength
        chosen, strengths = {
            "network": (networks, of_networks),
            "hypernetwork": (hypernetworks, of_hypernetworks),
            "embedding": (embeddings, []),
        }.get(column.kind or "", ([], []))
        chosen.append(column.file)
        strengths.append(strength)
    return {
        "network_weights": networks or None,
        "network_mul": of_networks if any(one != 1 for one in of_networks) else None,
        "textual_inversion_embeddings": embeddings or None,
        "hypernetwork_weights": hypernetworks or None,
        "hypernetwork_mul": of_hypernetworks if any(one != 1 for one in of_hypernetworks) else None,
    }


def _each(given: list[float] | None, count: int) -> list[float]:
    """A strength for each; the last one goes on for all that follow."""
    return [given[min(place, len(given) - 1)] if given else 1.0 for place in range(count)]


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(one) for one in value]
    # A hub id is a name already.
    return Path(value).name if value and Path(value).exists() else value


def _parameters(picture: Picture, column: Column) -> str:
    size = f"{picture.size_px[0]}x{picture.size_px[1]}"
    facts = {
        "Steps": picture.steps,
        "Sampler": picture.sampler,
        "CFG scale": f"{picture.scale:g}",
        "Seed": picture.seed,
        "Size": size,
        "Model": Path(column.model).stem,
    }
    negative = f"Negative prompt: {picture.negative_prompt}\n" if picture.negative_prompt else ""
    return f"{picture.prompt}\n{negative}" + ", ".join(f"{name}: {value}" for name, value in facts.items())
