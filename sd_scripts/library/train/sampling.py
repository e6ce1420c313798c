"""Pictures drawn while training: their own small loop, which leaves no trace in the training."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sd_scripts.library import events
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import UserError
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.library.shortage import is_out_of_memory
from sd_scripts.library.train.artist import Artist, Sketch, batches
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.output_place import OutputPlace
from sd_scripts.library.train.prompts import Prompt, prompts_of_images, read_prompts, unused, whole_eights
from sd_scripts.library.train.smaller import free_memory
from sd_scripts.options.training import SampleOptions

WRITTEN_LATER = 8
"""Pictures that may wait for the disk while others are drawn."""


@dataclass(frozen=True)
class Drawing:
    """A sample that was written. `index` is the prompt's place, from 0."""

    path: Path
    prompt: str
    index: int


class Desk:
    """Writes pictures beside the drawing, and tells of them in the order of their prompts."""

    def __init__(self, tell: Callable[[Drawing], None]) -> None:
        self.drawings: list[Drawing] = []
        self._tell = tell
        self._next = 0
        self._submitted: list[Future[Drawing]] = []
        self._untold: dict[int, Future[Drawing]] = {}

    @contextmanager
    def open(self) -> Iterator[Callable[[int, Callable[[], Drawing]], None]]:
        """Gives what takes the writing of the picture of a prompt. At the end all are written, and told."""
        with ThreadPoolExecutor(1, "samples") as writer:

            def take(index: int, write: Callable[[], Drawing]) -> None:
                if len(self._submitted) >= WRITTEN_LATER:
                    self._submitted[-WRITTEN_LATER].exception()
                self._untold[index] = writer.submit(write)
                self._submitted.append(self._untold[index])
                self._tell_ready()

            try:
                yield take
            finally:
                for index in sorted(self._untold):
                    self._told(index)

    def _tell_ready(self) -> None:
        while self._next in self._untold and self._untold[self._next].done():
            self._told(self._next)

    def _told(self, index: int) -> None:
        written = self._untold.pop(index)
        if written.exception():
            # The first one says what is wrong.
            self._untold.clear()
        drawing = written.result()
        self._next = index + 1
        self.drawings.append(drawing)
        self._tell(drawing)


class Samples:
    """The prompts of a run, and where their pictures go. `images` give prompts where none are named.

    Those of one size, number of steps and sampler are drawn --sample_batch_size at once, or half as many of a size from
    where on memory runs out.
    """

    def __init__(
        self, options: SampleOptions, place: OutputPlace, name: str | None, images: Sequence[TrainImage], report: Report
    ) -> None:
        self._options = options
        self._images = images
        self._place = place
        self._name = name
        self._report = report
        self._prompts: list[Prompt] = []
        self._asked: str | None = None
        self._told_black = False
        self._fitting: dict[tuple[int, int], int] = {}
        if options.sample_prompts:
            self._prompts = self._taken(options.sample_prompts)

    def due(self, step: int, ended_epoch: int | None) -> str | None:
        """The mark in the file names where samples are due after this step: that of the epoch, or of the step."""
        if self._options.sample_every_n_epochs:
            due = ended_epoch is not None and ended_epoch % self._options.sample_every_n_epochs == 0
            return f"e{ended_epoch:06d}" if due else None
        every = self._options.sample_every_n_steps
        return f"{step:06d}" if every and step % every == 0 else None

    def draw(self, artist: Artist, mark: str, place: Place) -> list[Drawing]:
        """Draws all prompts into PNG files; a prompt without a seed has one that stays the same over the run."""
        self._take_asked()
        if not self._prompts:
            self._prompts = prompts_of_images(self._images)
            text = "No --sample_prompts were given: the texts of the first pictures are drawn."
            self._report.notice(text)
        desk = Desk(partial(self._tell, place))
        with evaluating([artist.family.unet, *artist.family.text_encoders.values()]), desk.open() as take:
            for batch in self._until_stopped(batches(self._sketches(artist.seed), self._options.sample_batch_size)):
                for sketch, pixels_CHW in self._drawn(artist, batch):
                    checked_CHW = self._checked(pixels_CHW, place.step).cpu()
                    take(sketch.index, partial(self._write, sketch, checked_CHW, mark))
        return desk.drawings

    def _sketches(self, run_seed: int) -> list[Sketch]:
        sampler, found = self._options.sample_sampler, []
        for index, prompt in enumerate(self._prompts):
            seed = prompt.seed if prompt.seed is not None else derive(run_seed, "sample", index) % 2**32
            found.append(Sketch(index, prompt, prompt.sample_sampler or sampler, seed))
        return found

    def _until_stopped(self, batches: Iterable[list[Sketch]]) -> Iterator[list[Sketch]]:
        """A stop ends it after the present batch."""
        for number, batch in enumerate(batches):
            if number and self._report.stop_asked():
                return
            yield batch

    def _drawn(self, artist: Artist, batch: list[Sketch]) -> Iterator[tuple[Sketch, torch.Tensor]]:
        """pixels_CHW of each, in as few batches as memory allows."""
        size_px = batch[0].size_px
        if len(batch) > self._fitting.get(size_px, len(batch)):
            yield from self._in_halves(artist, batch)
            return
        try:
            latents_BCHW = artist.draw(batch)
        except (MemoryError, RuntimeError) as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            latents_BCHW = None
        if latents_BCHW is None:
            # Only now nothing holds what was tried.
            free_memory()
            self._tell_halved(size_px, len(batch))
            yield from self._in_halves(artist, batch)
            return
        for sketch, latents_CHW in zip(batch, latents_BCHW, strict=True):
            yield sketch, artist.decode(latents_CHW)

    def _in_halves(self, artist: Artist, batch: list[Sketch]) -> Iterator[tuple[Sketch, torch.Tensor]]:
        half = -(-len(batch) // 2)
        yield from self._drawn(artist, batch[:half])
        yield from self._drawn(artist, batch[half:])

    def _tell_halved(self, size_px: tuple[int, int], count: int) -> None:
        """Once for each size and each halving."""
        self._fitting[size_px] = half = -(-count // 2)
        size = f"{count} samples of {size_px[0]} x {size_px[1]} px"
        how = f"From here on they are drawn as with --sample_batch_size {half}"
        self._report.notice(f"Memory ran out while {size} were drawn at once. {how}.", "warning")

    def _take_asked(self) -> None:
        """From now on draws the prompts that were sent while it trained; what cannot be read of them is told."""
        asked = self._report.prompts_asked
        if asked != self._asked:
            self._asked = asked
            try:
                self._prompts = self._taken(str(asked))
            except UserError as error:
                self._report.notice(f"The prompts that were sent are not drawn: {error}", "warning")

    def _taken(self, path: str) -> list[Prompt]:
        prompts = read_prompts(path)
        for index, prompt in enumerate(prompts):
            for reason in unused(prompt):
                self._report.notice(f"Sample prompt {index + 1}: {reason}. It is drawn without.", "warning")
        return [self._rounded(index, prompt) for index, prompt in enumerate(prompts)]

    def _write(self, sketch: Sketch, pixels_CHW: torch.Tensor, mark: str) -> Drawing:
        prefix = f"{self._name}_" if self._name else ""
        name = f"{prefix}{mark}_{sketch.index:02d}_{time.strftime('%Y%m%d%H%M%S')}_{sketch.seed}.png"
        path = self._place.folder / "sample" / name
        self._place.write(path, partial(write_png, pixels_CHW, path))
        return Drawing(path, sketch.prompt.prompt, sketch.index)

    def _tell(self, place: Place, drawing: Drawing) -> None:
        path = str(drawing.path.absolute())
        told = events.Sample(path=path, prompt=drawing.prompt, index=drawing.index, step=place.step, epoch=place.epoch)
        self._report.emit(told)

    def _checked(self, pixels_CHW: torch.Tensor, step: int) -> torch.Tensor:
        """A picture that is no numbers is black, and told once."""
        if not self._told_black and not bool(torch.isfinite(pixels_CHW).all()):
            self._told_black = True
            text = f"A sample after step {step:,} came out as no numbers, and is black: use --no_half_vae."
            self._report.notice(text, "warning")
        return pixels_CHW.nan_to_num(-1.0)

    def _rounded(self, index: int, prompt: Prompt) -> Prompt:
        rounded = whole_eights(prompt)
        if rounded != prompt:
            sizes = f"{prompt.width} x {prompt.height} becomes {rounded.width} x {rounded.height} px"
            self._report.notice(f"Sample prompt {index + 1}: {sizes}, as sides are multiples of 8.")
        return rounded


def write_png(pixels_CHW: torch.Tensor, path: Path, texts: Mapping[str, str] | None = None) -> None:
    """Writes a picture whose values are -1 to 1, and texts that stand in its file. Errors: BadFile."""
    from PIL.PngImagePlugin import PngInfo

    from sd_scripts.library.io.atomic import replacing

    told = PngInfo()
    for name, text in (texts or {}).items():
        told.add_itxt(name, text)
    with replacing(path) as beside:
        as_image(pixels_CHW).save(beside, format="PNG", pnginfo=told)


def as_image(pixels_CHW: torch.Tensor) -> Any:
    """A PIL picture of values from -1 to 1."""
    from PIL import Image

    levels_HWC = ((pixels_CHW.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(levels_HWC)


@contextmanager
def evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """The modules in evaluation mode for a while; each submodule gets its own mode back."""
    modes = [(inner, inner.training) for module in modules for inner in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for inner, mode in modes:
            inner.training = mode
