"""Samples of a training beside the bare loop: predictions of a batch, steps of the sampler, the VAE, on ready texts.

Ours is what a training does, from the file of prompts to written PNG files and their events. Both draw the same
pictures with one copy of the model, in turn. Each prediction casts the model's weights anew, in ours and in the bare
loop: kept over all steps they would be a second model in memory.
"""

import gc
import io
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from benchmarks.alternating import alternating
from benchmarks.models import LOADERS, Family, Size, make_model, named
from benchmarks.rows import Given, Row, at_most, stage
from benchmarks.step import Clocked
from sd_scripts.library.models import family as families
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.report import Report
from sd_scripts.library.train.artist import Artist
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.output_place import OutputPlace
from sd_scripts.library.train.sampling import Samples, write_png
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.training import SampleOptions

MOST = 1.05
FEW = 3
"""Rounds of what has no goal."""
AT_ONCE = SampleOptions.sample_batch_size
SCALE = 7.5
SEED = 3
MARK = "000001"


@dataclass(frozen=True)
class Case:
    """What is drawn: pictures of one size, each with a prompt and a seed of its own."""

    family: Family
    size: Size
    side_px: int
    steps: int
    pictures: int

    def __str__(self) -> str:
        return f"{named(self.family, self.size)}, {self.pictures} pictures of {self.side_px} px, {self.steps} steps"

    def prompts(self) -> list[str]:
        """Their texts."""
        return [f"a thing, number {number}, in the light of a lamp" for number in range(self.pictures)]

    def lines(self) -> str:
        """The file of prompts."""
        how = f"--w {self.side_px} --h {self.side_px} --s {self.steps} --l {SCALE} --ss ddim"
        return "\n".join(f"{text} {how} --d {SEED + number}" for number, text in enumerate(self.prompts()))


QUICK = Case("sd1", "tiny", 64, 2, AT_ONCE)
REDUCED = [Case("sd1", "reduced", 128, 3, AT_ONCE), Case("sdxl", "reduced", 128, 3, AT_ONCE)]
TRUE = [Case("sd1", "true", 512, 20, 2 * AT_ONCE), Case("sdxl", "true", 1024, 20, 2 * AT_ONCE)]


def measure(given: Given) -> list[Row]:
    """All figures."""
    cases = [QUICK] if given.quick else TRUE if given.device == "cuda" else REDUCED
    return [row for case in cases for row in rows_of(case, given)]


def rows_of(case: Case, given: Given) -> list[Row]:
    """A picture's seconds beside the bare loop's, and what each part of the way brings."""
    rounds = 1 if given.quick else given.rounds
    with easel(case, given) as artist:
        ours, single = (Clocked(Ours(case, artist, given, size).draw, given) for size in (AT_ONCE, 1))
        drawn = Bare(case, artist)
        least = Clocked(drawn.draw, given)

        def bare() -> float:
            drawn.bring_vae()
            return least()

        for warm in (ours, bare, single):
            warm()
        ours_s, bare_s, ratio = alternating(ours, bare, rounds)
        each_s = ours_s / case.pictures, bare_s / case.pictures
        # The first ones warmed up.
        pairs = zip(ours.cpu_s[1:], least.cpu_s[1:], strict=True)
        note = f"with its file; CPU seconds {statistics.median(one / other for one, other in pairs):.2f}x"
        slower = alternating(single, ours, min(rounds, FEW))[2]
        rows = [
            Row(f"{case}: a picture", "s", *each_s, at_most(MOST), note, measured_ratio=ratio),
            Row(f"... one by one, beside {AT_ONCE} at once", "times", slower),
            vae(drawn, given, rounds),
            png(drawn, given, rounds),
        ]
        return rows + (peaks(case, artist, drawn, given) if given.device == "cuda" else [])


def vae(drawn: "Bare", given: Given, rounds: int) -> Row:
    """How long decoding takes one by one, beside a batch at once."""
    latents_BCHW = drawn.noise_BCHW[:AT_ONCE]
    drawn.bring_vae()
    single = Clocked(lambda: [drawn.decode(one_CHW[None]) for one_CHW in latents_BCHW], given)
    at_once = Clocked(lambda: drawn.decode(latents_BCHW), given)
    at_once()
    slower = alternating(single, at_once, min(rounds, FEW))[2]
    return Row(f"... VAE one by one, beside {AT_ONCE} at once", "times", slower)


def png(drawn: "Bare", given: Given, rounds: int) -> Row:
    """The file of a picture, written while others are drawn."""
    pixels_CHW = drawn.draw()[0].cpu()
    write = Clocked(lambda: write_png(pixels_CHW, given.room / "one.png"), given)
    took_s = min(write() for _ in range(rounds))
    return Row("... of it its file, which is written aside", "s", took_s)


def peaks(case: Case, artist: Artist, drawn: "Bare", given: Given) -> list[Row]:
    """The most memory on the GPU, the model's included."""
    found = []
    rest = artist.encoder.rest
    ours, single = (Ours(case, artist, given, size).draw for size in (AT_ONCE, 1))
    for before, draw in ((rest, ours), (drawn.bring_vae, drawn.draw), (rest, single)):
        before()
        torch.cuda.reset_peak_memory_stats()
        draw()
        found.append(torch.cuda.max_memory_allocated() / 1e9)
    return [Row("... peak memory", "GB", *found[:2]), Row("... peak memory one by one", "GB", found[2])]


@contextmanager
def easel(case: Case, given: Given) -> Iterator[Artist]:
    """The model of a case on its device, as a training holds it while it draws; it goes at the end."""
    path = make_model(given.room / "model.safetensors", case.family, case.size)
    family: families.Family = LOADERS[case.family](str(path))
    path.unlink()
    on_gpu = given.device == "cuda"
    accelerator = Accelerator(cpu=not on_gpu, mixed_precision="bf16" if on_gpu else "no")
    for module in (family.unet, family.vae, *family.text_encoders.values()):
        module.requires_grad_(False).eval().to(accelerator.device)
    texts = Texts(family, TextSettings(), accelerator, trained=False, keep=False, fixed=True)
    yield Artist(family, texts, Encoder(family, accelerator, full_precision=not on_gpu), accelerator, SEED)
    del family, texts
    gc.collect()
    torch.cuda.empty_cache()


class Ours:
    """The samples of a training."""

    def __init__(self, case: Case, artist: Artist, given: Given, at_once: int) -> None:
        prompts = given.room / "prompts.txt"
        prompts.write_text(case.lines(), encoding="utf-8")
        options = SampleOptions(sample_prompts=str(prompts), sample_batch_size=at_once)
        report = Report(given.room / "events.jsonl", out=io.StringIO())
        self._samples = Samples(options, OutputPlace(given.room / "out"), "model", [], report)
        self._artist = artist

    def draw(self) -> list[Path]:
        """All pictures once; their files."""
        drawn = self._samples.draw(self._artist, MARK, Place(1))
        self._artist.encoder.rest()
        return [drawing.path for drawing in drawn]


class Bare:
    """The loop on what lies ready on the device: encoded texts, noise, and the sampler."""

    def __init__(self, case: Case, artist: Artist) -> None:
        self._family, self._accelerator = artist.family, artist.accelerator
        device = artist.accelerator.device
        numbers = range(SEED, SEED + case.pictures)
        shape = 1, 4, case.side_px // 8, case.side_px // 8
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(number)) for number in numbers]
        self.noise_BCHW = torch.cat(noise).to(device)
        self._scheduler = artist.family.sampling_scheduler("ddim")
        self._scheduler.set_timesteps(case.steps, device=device)
        self._negative = artist.texts.encode_prompts([""])
        self._positive = artist.texts.encode_prompts(case.prompts())
        self._sizes_B6 = torch.tensor([[case.side_px, case.side_px, 0, 0, case.side_px, case.side_px]], device=device)

    def bring_vae(self) -> None:
        """Ours sends it to rest; here it is on the device before the clock starts."""
        self._family.vae.to(self.noise_BCHW.device)

    @torch.no_grad()
    def draw(self) -> Tensor:
        """pixels_BCHW of all pictures."""
        made = [self._denoised(slice(start, start + AT_ONCE)) for start in range(0, len(self.noise_BCHW), AT_ONCE)]
        return torch.cat([self.decode(one_CHW[None]) for latents_BCHW in made for one_CHW in latents_BCHW])

    @torch.no_grad()
    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """pixels_BCHW."""
        with self._accelerator.autocast():
            return self._family.decode_latents(latents_BCHW / self._family.latent_scale).float()

    def _denoised(self, some: slice) -> Tensor:
        latents_BCHW = self.noise_BCHW[some]
        count = len(latents_BCHW)
        conditions = {
            name: torch.cat([self._negative[name].expand_as(positive[some]), positive[some]])
            for name, positive in self._positive.items()
        }
        conditions["sizes_B6"] = self._sizes_B6.expand(2 * count, 6)
        for timestep in self._scheduler.timesteps:
            both_NCHW = torch.cat([latents_BCHW, latents_BCHW])
            with self._accelerator.autocast():
                predicted_NCHW = self._family.predict(both_NCHW, timestep.expand(2 * count), conditions).float()
            without_BCHW, with_BCHW = predicted_NCHW.chunk(2)
            predicted_BCHW = without_BCHW + SCALE * (with_BCHW - without_BCHW)
            latents_BCHW = self._scheduler.step(predicted_BCHW, timestep, latents_BCHW).prev_sample
        return latents_BCHW


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
