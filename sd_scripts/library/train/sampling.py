"""Pictures drawn while training: their own small loop, which leaves no trace in the training."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sd_scripts.library import events
from sd_scripts.library.data.training_data import TrainImage, uncut
from sd_scripts.library.errors import UserError
from sd_scripts.library.models.denoising import Guidance, denoise, first_noise
from sd_scripts.library.models.family import Family
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.output_place import OutputPlace
from sd_scripts.library.train.prompts import Prompt, prompts_of_images, read_prompts, unused, whole_eights
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.training import SampleOptions


@dataclass(frozen=True)
class Artist:
    """Draws prompts with the model as it stands."""

    family: Family
    texts: Texts
    encoder: Encoder
    accelerator: Any
    seed: int

    @torch.no_grad()
    def draw(self, prompt: Prompt, sampler: str, seed: int) -> torch.Tensor:
        """pixels_CHW in -1 to 1."""
        generator = torch.Generator().manual_seed(seed)
        device = self.accelerator.device
        scheduler = self.family.sampling_scheduler(prompt.sample_sampler or sampler)
        scheduler.set_timesteps(prompt.sample_steps, device=device)
        guidance = Guidance(prompt.scale)
        captions = guidance.rows([prompt.prompt], [prompt.negative_prompt])
        sizes_B6 = torch.tensor([uncut((prompt.width, prompt.height)).numbers()] * len(captions))
        conditions = self.texts.encode_prompts(captions) | {"sizes_B6": sizes_B6.to(device)}
        noise_BCHW = first_noise((4, prompt.height // 8, prompt.width // 8), [generator]).to(device)

        def predict(noisy_BCHW: torch.Tensor, timesteps_B: torch.Tensor) -> torch.Tensor:
            with self.accelerator.autocast():
                return self.family.predict(noisy_BCHW, timesteps_B, conditions).float()

        latents_BCHW = denoise(predict, scheduler, noise_BCHW * scheduler.init_noise_sigma, guidance, [generator])
        return self.encoder.decode(latents_BCHW / self.family.latent_scale)[0]


@dataclass(frozen=True)
class Drawing:
    """A sample that was written. `index` is the prompt's place, from 0."""

    path: Path
    prompt: str
    index: int


class Samples:
    """The prompts of a run, and where their pictures go. `images` give prompts where none are named."""

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
        with evaluating([artist.family.unet, *artist.family.text_encoders.values()]):
            return [self._draw_one(artist, index, mark, place) for index in self._until_stopped(len(self._prompts))]

    def _until_stopped(self, count: int) -> Iterator[int]:
        """A stop ends it after the present picture."""
        for index in range(count):
            if index and self._report.stop_asked():
                return
            yield index

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

    def _draw_one(self, artist: Artist, index: int, mark: str, place: Place) -> Drawing:
        prompt = self._prompts[index]
        seed = prompt.seed if prompt.seed is not None else derive(artist.seed, "sample", index) % 2**32
        pixels_CHW = self._checked(artist.draw(prompt, self._options.sample_sampler, seed), place.step)
        prefix = f"{self._name}_" if self._name else ""
        path = self._place.folder / "sample" / f"{prefix}{mark}_{index:02d}_{time.strftime('%Y%m%d%H%M%S')}_{seed}.png"
        self._place.write(path, lambda: write_png(pixels_CHW, path))
        told = events.Sample(
            path=str(path.absolute()), prompt=prompt.prompt, index=index, step=place.step, epoch=place.epoch
        )
        self._report.emit(told)
        return Drawing(path, prompt.prompt, index)

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
