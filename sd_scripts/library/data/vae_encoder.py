"""From pictures to latents: the VAE at work. A picture's noise comes from its content, so a rerun gives the same."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from sd_scripts.library.errors import BadOption
from sd_scripts.library.seeds import derive
from sd_scripts.library.team import local_rank

if TYPE_CHECKING:
    import numpy as np

DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def best_device() -> torch.device:
    """The GPU where there is one: of several processes each has its own."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def usable_precision(asked: str, device: torch.device) -> str:
    """The precision that can be used: float16 on a CPU is slower than float32 and less exact, so it becomes "no"."""
    return "no" if asked == "fp16" and device.type == "cpu" else asked


def to_pixels(images_BHWC: "np.ndarray") -> torch.Tensor:
    """uint8 pictures -> float32 pixels_BCHW in -1 to 1."""
    return torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).float() / 127.5 - 1.0


class VaeEncoder:
    """A diffusers AutoencoderKL that makes latents. Slicing and tiling stay off: tiling changes the result."""

    def __init__(self, vae: Any, precision: str, device: torch.device) -> None:
        self.device = device
        self.dtype = DTYPES[precision]
        # Module.to, since diffusers' own warns of parts to keep in float32, of which a VAE has none.
        self.vae = torch.nn.Module.to(vae, device, self.dtype).eval().requires_grad_(False)

        # The pixel of each byte, made here: a GPU divides otherwise.
        self._values = (torch.arange(256).float() / 127.5 - 1.0).to(device, self.dtype)

    def encode(self, images_BHWC: "np.ndarray", content_hashes: Sequence[str], mirrored: bool = False) -> "np.ndarray":
        """float32 latents_BCHW, the posterior's samples (not scaled), of uint8 pictures of one size.

        Errors: BadOption, when the GPU's memory does not suffice.
        """
        return self.begin(images_BHWC, content_hashes, mirrored)()

    @torch.inference_mode()
    def begin(
        self, images_BHWC: "np.ndarray", content_hashes: Sequence[str], mirrored: bool = False
    ) -> "Callable[[], np.ndarray]":
        """What `encode` gives, to be asked for later: a GPU computes meanwhile. Errors: as `encode`."""
        pixels_BCHW = self._pixels(images_BHWC)
        if mirrored:
            pixels_BCHW = pixels_BCHW.flip(-1)
        try:
            posterior = self.vae.encode(pixels_BCHW).latent_dist
        except torch.OutOfMemoryError as error:
            count, height, width, _ = images_BHWC.shape
            size = f"{count} pictures of {width} x {height} px at once"
            raise BadOption("batch_size", f"--batch_size {count}: the GPU has no room for {size}. Use less.") from error
        on_way = brought(posterior.mean.float()), brought(posterior.std.float())

        def sample() -> "np.ndarray":
            mean_BCHW, std_BCHW = (late() for late in on_way)
            noise_BCHW = torch.stack([_noise(mean_BCHW.shape[1:], name, mirrored) for name in content_hashes])
            return (mean_BCHW + std_BCHW * noise_BCHW).numpy()

        return sample

    def _pixels(self, images_BHWC: "np.ndarray") -> torch.Tensor:
        """As `to_pixels`. To a GPU they go as bytes, from pinned memory, and become the same numbers there."""
        if self.device.type != "cuda":
            return to_pixels(images_BHWC).to(self.device, self.dtype)
        bytes_BHWC = torch.from_numpy(images_BHWC).pin_memory().to(self.device, non_blocking=True)
        return self._values[bytes_BHWC.int()].permute(0, 3, 1, 2)


def brought(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A tensor on its way to the CPU; what is given waits for it."""
    if tensor.device.type != "cuda":
        return lambda: tensor.cpu()
    there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    there.copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> torch.Tensor:
        arrived.synchronize()
        return there

    return wait


def _noise(shape_CHW: torch.Size, content_hash: str, mirrored: bool) -> torch.Tensor:
    return torch.randn(shape_CHW, generator=generator_of(content_hash, mirrored))


def generator_of(content_hash: str, mirrored: bool) -> torch.Generator:
    """What a picture's sample is drawn from: the same wherever its latents are made."""
    return torch.Generator().manual_seed(derive(0, "latents", content_hash, "flip" if mirrored else "plain"))
