"""Draws all that is asked for, column by column: each model is loaded once, each picture written at once."""

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from sd_scripts.library import events
from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import OutOfMemory
from sd_scripts.library.generate.additions import add_hypernetwork, add_network, as_it_was
from sd_scripts.library.generate.asked import read_asked
from sd_scripts.library.generate.columns import Column, by_model, columns_of, word_of
from sd_scripts.library.generate.easel import Drawn
from sd_scripts.library.generate.files import FileNames, told
from sd_scripts.library.generate.grid import Table, draw_grid
from sd_scripts.library.generate.kinds import module_of
from sd_scripts.library.generate.opening import Opened, open_model
from sd_scripts.library.generate.plan import SEEDS, Picture, Sources, batches, is_grid, planned
from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.io.embeddings import read_fitting
from sd_scripts.library.models.family import Family
from sd_scripts.library.models.new_word import NewWord
from sd_scripts.library.report import Report, counted
from sd_scripts.library.shortage import is_out_of_memory
from sd_scripts.library.train.sampling import evaluating, write_png
from sd_scripts.options.gen_img import FromPictureOptions, GenImgOptions

# The side of pictures that no size is asked for.
_SIDES_PX = {"sdxl": 1024}
_SIDE_PX = 512


def generate(options: GenImgOptions, report: Report) -> None:
    """gen_img.py, once its options are checked. Errors: UserError."""
    columns = columns_of(options)
    sheet = _Sheet(options, report, columns)
    report.phase("load_model", "Loading the model")
    for number, (model, places) in enumerate(by_model(columns)):
        if report.stop_asked():
            break
        if number:
            _free_memory()
        _draw_columns(open_model(options, model, report), places, sheet)
    sheet.finish()


def _free_memory() -> None:
    """The last model goes before the next one comes: its modules know each other, so it does not go by itself."""
    gc.collect()
    torch.cuda.empty_cache()


@dataclass
class _Sheet:
    """The pictures of all columns: what is drawn, and what is there."""

    options: GenImgOptions
    report: Report
    columns: list[Column]
    pictures: list[Picture] = field(default_factory=list)
    drawn: dict[tuple[int, int], Path] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.names = FileNames(self.options.files)
        asked = self.options.prompts.seed
        self.seed = random.SystemRandom().randrange(SEEDS) if asked is None else asked
        self._told_black = False

    def plan(self, side_px: int) -> None:
        """Makes the plan for all columns, once: the first model says which size is usual."""
        if self.pictures:
            return
        self.pictures = planned(
            self.options, read_asked(self.options.prompts), self.seed, side_px, sources_of(self.options.picture)
        )
        self.report.say(f"Seed: {self.seed}")
        total = len(self.pictures) * len(self.columns)
        self.report.phase("draw", f"Drawing {counted(total, 'picture')}", total)

    def take(self, batch: list[Picture], pictures: Drawn, place: int) -> None:
        """Writes a batch of pictures, and tells of them."""
        for number, picture in enumerate(batch):
            path = self.names.next(picture)
            texts = told(self.options, picture, self.columns[place])
            pixels_CHW = self._checked(pictures.pixels_BCHW[number])
            write_png(pixels_CHW, path, texts)
            if pictures.first_BCHW is not None:
                write_png(pictures.first_BCHW[number], path.with_stem(f"{path.stem}_1st"), texts)
            self.drawn[picture.row, self._column(place, picture)] = path
            self.count += 1
            self._tell(path, picture, place)
            self.report.progress(self.count, len(self.pictures) * len(self.columns))

    def finish(self) -> None:
        """Writes the grid, where one is asked for, and says what was done."""
        if is_grid(self.options) and self.drawn:
            self._write_grid()
        folder = Path(self.options.files.outdir)
        self.report.summary(f"Drew {counted(self.count, 'picture')} into {folder}.", pictures=self.count)

    def _write_grid(self) -> None:
        rows = sorted({picture.row for picture in self.pictures})
        prompts = {picture.row: picture for picture in self.pictures}
        several = self.options.prompts.images_per_prompt * self.options.prompts.n_iter > 1
        table = Table(
            [column.label for column in self.columns],
            [f"{prompts[row].prompt} ({prompts[row].seed})" if several else prompts[row].prompt for row in rows],
            [[self.drawn.get((row, place)) for place in range(len(self.columns))] for row in rows],
        )
        path = self.names.grid()
        with replacing(path) as beside:
            draw_grid(table).save(beside, format="PNG")
        self.report.say(f"Grid: {path}")
        self.report.saved(path, "grid")

    def _column(self, place: int, picture: Picture) -> int:
        """In a grid what draws, else which picture of its prompt it is."""
        return place if is_grid(self.options) else picture.number

    def _tell(self, path: Path, picture: Picture, place: int) -> None:
        column = self._column(place, picture)
        label = self.columns[place].label or f"#{column + 1}"
        self.report.emit(
            events.Sample(
                path=str(path.absolute()),
                prompt=picture.prompt,
                index=picture.row,
                step=column,
                epoch=0,
                label=label,
            )
        )

    def _checked(self, pixels_CHW: torch.Tensor) -> torch.Tensor:
        if not torch.isfinite(pixels_CHW).all() and not self._told_black:
            self._told_black = True
            text = (
                "A picture came out as no numbers, and is black: use --bf16, or --no_half_vae, or neither with --fp16."
            )
            self.report.notice(text, "warning")
        return pixels_CHW.nan_to_num(-1.0)


def _draw_columns(opened: Opened, places: list[int], sheet: _Sheet) -> None:
    sheet.plan(_SIDES_PX.get(opened.family.name, _SIDE_PX))
    for place in places:
        _draw_column(opened, place, sheet)


def _draw_column(opened: Opened, place: int, sheet: _Sheet) -> None:
    family, options, column = opened.family, sheet.options, sheet.columns[place]
    with as_it_was(family):
        _teach(family, column, options)
        if column.file:
            _add(family, column)
            sheet.report.say(f"Draws with {column.label}.")
        modules: list[nn.Module] = [family.unet, *family.text_encoders.values()]
        with evaluating(modules):
            for batch in batches(sheet.pictures, options.speed.batch_size):
                if sheet.report.stop_asked():
                    return
                _set_strengths(opened, column, batch[0])
                with _explained(options):
                    sheet.take(batch, opened.easel.draw(batch), place)


def _add(family: Family, column: Column) -> None:
    strength = 1.0 if column.strength is None else column.strength
    if column.kind == "network":
        add_network(family, column.file or "", strength, module_of(column.file or ""))
    elif column.kind == "hypernetwork":
        add_hypernetwork(family, column.file or "", strength)


def _set_strengths(opened: Opened, column: Column, picture: Picture) -> None:
    """Those of the column, or else those that the prompt has, or the options."""
    of_all = [column.strength] if column.strength is not None and not column.file else None
    opened.networks.set(of_all or picture.multipliers)
    opened.hypernetworks.set(of_all)


def _teach(family: Family, column: Column, options: GenImgOptions) -> None:
    """The words of all embeddings, and those of the column's. Errors: BadFile."""
    widths = {part: encoder.get_input_embeddings().embedding_dim for part, encoder in family.text_encoders.items()}
    files = {Path(file).stem: file for file in options.added.textual_inversion_embeddings or []}
    if column.file and column.kind == "embedding":
        files |= {Path(column.file).stem: column.file, word_of(column.file): column.file}
    for word, file in files.items():
        vectors = read_fitting(file, widths)
        placed = {part: rows_ND.to(family.unet.device) for part, rows_ND in vectors.items()}
        family.add_word(NewWord(word, len(next(iter(placed.values())))), placed)


def sources_of(options: FromPictureOptions) -> Sources | None:
    """The pictures to begin with and their masks. Errors: BadOption."""
    if not options.image_path:
        return None
    return Sources(_files(options.image_path, "image_path"), _files(options.mask_path, "mask_path"))


def _files(path: str | None, option: str) -> list[Path]:
    if not path:
        return []
    return find_images(path, option=option) if Path(path).is_dir() else [Path(path)]


@contextmanager
def _explained(options: GenImgOptions) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        half = "" if options.speed.fp16 or options.speed.bf16 else " --bf16,"
        raise OutOfMemory(f"Memory ran out. What helps most:{half} --batch_size 1, a smaller --W and --H.") from error
