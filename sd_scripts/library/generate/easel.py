"""Draws pictures with a model as it stands: from noise, from another picture, or in two stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sd_scripts.library.data.images import UnreadableImage, open_image
from sd_scripts.library.errors import BadFile
from sd_scripts.library.generate.plan import Picture, Size
from sd_scripts.library.models.denoising import Guidance, Place, denoise, first_noise
from sd_scripts.library.models.family import Family
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.sampling import as_image
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.gen_img import TwoStageOptions

_FIRST_STAGE_PX = 32
"""Sides of a first stage's pictures are multiples of this."""


@dataclass(frozen=True)
class Drawn:
    """Pixels in -1 to 1 of one batch; `first_BCHW`: of the first of two stages."""

    pixels_BCHW: Tensor
    first_BCHW: Tensor | None = None


@dataclass(frozen=True)
class Easel:
    """Draws with a family's model. `decoded_at_once`: how many pictures the VAE decodes at a time."""

    family: Family
    texts: Texts
    encoder: Encoder
    accelerator: Any
    stages: TwoStageOptions
    decoded_at_once: int
    zero_steps_offset: bool = False

    @torch.no_grad()
    def draw(self, pictures: Sequence[Picture]) -> Drawn:
        """Pictures that go with each other (Picture.goes_with). Errors: BadFile."""
        first = pictures[0]
        generators = [torch.Generator().manual_seed(picture.seed) for picture in pictures]
        if first.source:
            sources = [read_picture(picture.source, first.size_px) for picture in pictures if picture.source]
            latents_BCHW = self._encoded(torch.stack(sources), generators)
            masks = [read_mask(picture.mask, first.size_px) for picture in pictures if picture.mask]
            mask_B1HW = torch.stack(masks).to(self._device) if masks else None
            return Drawn(self._decoded(self._over(pictures, latents_BCHW, generators, first.strength, mask_B1HW)))
        if self.stages.highres_fix_scale:
            return self._in_two_stages(pictures, generators)
        return Drawn(self._decoded(self._from_noise(pictures, first.size_px, first.steps, generators)))

    def _in_two_stages(self, pictures: Sequence[Picture], generators: list[torch.Generator]) -> Drawn:
        first, stages = pictures[0], self.stages
        width, height = (_first_stage(side, stages.highres_fix_scale or 1) for side in first.size_px)
        small_BCHW = self._from_noise(pictures, (width, height), stages.highres_fix_steps, generators)
        wanted = stages.highres_fix_save_1st or not stages.highres_fix_latents_upscaling
        shown_BCHW = self._decoded(small_BCHW) if wanted else None
        if stages.highres_fix_latents_upscaling:
            size = (first.size_px[1] // 8, first.size_px[0] // 8)
            large_BCHW = functional.interpolate(small_BCHW, size, mode="bilinear", align_corners=False)
        else:
            assert shown_BCHW is not None
            pixels = [as_pixels(resized(pixels_CHW, first.size_px)) for pixels_CHW in shown_BCHW]
            large_BCHW = self._encoded(torch.stack(pixels), generators)
        strength = first.strength if stages.highres_fix_strength is None else stages.highres_fix_strength
        pixels_BCHW = self._decoded(self._over(pictures, large_BCHW, generators, strength, None))
        return Drawn(pixels_BCHW, shown_BCHW if stages.highres_fix_save_1st else None)

    def _from_noise(
        self, pictures: Sequence[Picture], size_px: Size, steps: int, generators: list[torch.Generator]
    ) -> Tensor:
        scheduler = self._scheduler(pictures[0], steps)
        noise_BCHW = first_noise((4, size_px[1] // 8, size_px[0] // 8), generators).to(self._device)
        latents_BCHW = noise_BCHW * scheduler.init_noise_sigma
        return self._denoised(pictures, scheduler, latents_BCHW, generators)

    def _over(
        self,
        pictures: Sequence[Picture],
        latents_BCHW: Tensor,
        generators: list[torch.Generator],
        strength: float,
        mask_B1HW: Tensor | None,
    ) -> Tensor:
        """Latents drawn anew as far as `strength` says, from noise that covers them as far (Meng et al., "SDEdit")."""
        picture = pictures[0]
        begun = min(int(picture.steps * strength), picture.steps)
        if not begun:
            return latents_BCHW
        scheduler = self._scheduler(picture, picture.steps)
        skipped = (picture.steps - begun) * scheduler.order
        timesteps = scheduler.timesteps[skipped:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped)
        noise_BCHW = first_noise(tuple(latents_BCHW.shape[1:]), generators).to(self._device)

        def noisy(number: int) -> Tensor:
            return scheduler.add_noise(latents_BCHW, noise_BCHW, timesteps[number : number + 1].repeat(len(pictures)))

        def kept(drawn_BCHW: Tensor, number: int) -> Tensor:
            known_BCHW = noisy(number + 1) if number + 1 < len(timesteps) else latents_BCHW
            assert mask_B1HW is not None
            return drawn_BCHW * mask_B1HW + known_BCHW * (1 - mask_B1HW)

        after_step = kept if mask_B1HW is not None else None
        return self._denoised(pictures, scheduler, noisy(0), generators, timesteps, after_step)

    def _denoised(
        self,
        pictures: Sequence[Picture],
        scheduler: Any,
        latents_BCHW: Tensor,
        generators: list[torch.Generator],
        timesteps: Tensor | None = None,
        after_step: Place | None = None,
    ) -> Tensor:
        guidance = Guidance([picture.scale for picture in pictures], pictures[0].negative_scale)
        conditions = self._conditions(pictures, guidance)

        def predict(noisy_NCHW: Tensor, timesteps_N: Tensor) -> Tensor:
            with self.accelerator.autocast():
                return self.family.predict(noisy_NCHW, timesteps_N, conditions).float()

        return denoise(predict, scheduler, latents_BCHW, guidance, generators, timesteps, after_step)

    def _conditions(self, pictures: Sequence[Picture], guidance: Guidance) -> dict[str, Tensor]:
        prompts = [picture.prompt for picture in pictures]
        captions = guidance.rows(prompts, [picture.negative_prompt for picture in pictures])
        positive = [picture.told.positive for picture in pictures]
        negative = [picture.told.negative for picture in pictures]
        rows = {1: positive, 2: negative + positive, 3: negative + positive + negative}[guidance.parts]
        sizes_N6 = torch.tensor(rows, dtype=torch.float32)
        return self.texts.encode_prompts(captions) | {"sizes_B6": sizes_N6.to(self._device)}

    def _scheduler(self, picture: Picture, steps: int) -> Any:
        scheduler = self.family.sampling_scheduler(picture.sampler)
        if self.zero_steps_offset:
            scheduler.register_to_config(steps_offset=0)
        scheduler.set_timesteps(steps, device=self._device)
        return scheduler

    def _encoded(self, pixels_BCHW: Tensor, generators: list[torch.Generator]) -> Tensor:
        return self.encoder.encode(pixels_BCHW, generators) * self.family.latent_scale

    def _decoded(self, latents_BCHW: Tensor) -> Tensor:
        parts = (latents_BCHW / self.family.latent_scale).split(self.decoded_at_once)
        return torch.cat([self.encoder.decode(part) for part in parts]).cpu()

    @property
    def _device(self) -> torch.device:
        return self.encoder.device


def read_picture(path: Path, size_px: Size) -> Tensor:
    """pixels_CHW in -1 to 1 of a picture, resized. Errors: BadFile."""
    return as_pixels(_opened(path).resize(size_px, _lanczos()))


def read_mask(path: Path, size_px: Size) -> Tensor:
    """mask_1HW of the latents' size: 1 where the picture is white, and drawn anew. Errors: BadFile."""
    small = _opened(path).convert("L").resize((size_px[0] // 8, size_px[1] // 8), _lanczos())
    return (as_pixels(small)[:1] + 1) / 2


def resized(pixels_CHW: Tensor, size_px: Size) -> Any:
    """A PIL picture of pixels in -1 to 1, of another size."""
    return as_image(pixels_CHW).resize(size_px, _lanczos())


def as_pixels(image: Any) -> Tensor:
    """pixels_CHW in -1 to 1 of a PIL picture."""
    import numpy as np

    levels_HWC = torch.from_numpy(np.array(image)).float()
    levels_HWC = levels_HWC if levels_HWC.ndim == 3 else levels_HWC[:, :, None]
    return levels_HWC.permute(2, 0, 1) / 127.5 - 1


def _opened(path: Path) -> Any:
    try:
        return open_image(path)
    except UnreadableImage as error:
        raise BadFile(f"{path} cannot be read: {error}. Choose another picture.") from error


def _lanczos() -> Any:
    from PIL import Image

    return Image.Resampling.LANCZOS


def _first_stage(side_px: int, share: float) -> int:
    return max(_FIRST_STAGE_PX, int(side_px * share + 0.5) // _FIRST_STAGE_PX * _FIRST_STAGE_PX)
