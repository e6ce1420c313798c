"""The parts that making latents cannot do without, each by itself and nothing else: run by benchmarks/latents.py.

`decode`: worker processes on all cores decode the files and scale them into their buckets. `model`: the VAE makes
latents of batches that are in memory already. Starting is not counted; a line of JSON says what the work took.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sd_scripts.library.data.buckets import BucketRules, Size
from sd_scripts.library.data.images import find_images, image_size
from sd_scripts.library.data.read_ahead import keep_memory, let_threads_sleep
from sd_scripts.library.team import own_cores


def main() -> None:
    """One of the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("decode", "model"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--side", type=int, required=True, help="of the resolution, in px")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--precision", default="no")
    options = parser.parse_args()
    # As ours do: threads that wait in a loop would take the cores of other programs.
    let_threads_sleep()
    # Ours keep it as well: to be given zeroed pages for each batch takes longer than the model.
    keep_memory()
    pictures = find_images(options.folder)
    rules = BucketRules((options.side, options.side), max_px=2 * options.side)
    if options.part == "decode":
        wall_s, cpu_s = decode(pictures, rules)
    else:
        wall_s, cpu_s = encode(options.model, _buckets(pictures, rules), options.batch, options.precision)
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s}))


def _buckets(pictures: Iterable[Path], rules: BucketRules) -> dict[Size, int]:
    """How many pictures come into each bucket."""
    counts: defaultdict[Size, int] = defaultdict(int)
    for picture in pictures:
        if fit := rules.fit(image_size(picture)):
            counts[fit.bucket_px] += 1
    return counts


def decode(pictures: list[Path], rules: BucketRules) -> tuple[float, float]:
    """(seconds by the clock, on all cores) of decoding and scaling."""
    cores = own_cores()
    with ProcessPoolExecutor(cores, get_context("spawn"), _begin) as pool:
        # All of them are there, with what they import, before the clock starts.
        list(pool.map(_wait, [0.5] * cores))
        began, began_cpu = time.perf_counter(), time.process_time()
        spent = sum(pool.map(partial(_decode, rules), pictures))
        return time.perf_counter() - began, time.process_time() - began_cpu + spent


def _begin() -> None:
    import cv2
    import numpy  # noqa: F401
    from PIL import Image

    Image.init()
    cv2.setNumThreads(1)
    keep_memory()


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _decode(rules: BucketRules, picture: Path) -> float:
    """Seconds of a core."""
    import cv2
    import numpy as np
    from PIL import Image

    began_cpu = time.process_time()
    with Image.open(picture) as image:
        pixels_HWC = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    fit = rules.fit((pixels_HWC.shape[1], pixels_HWC.shape[0]))
    assert fit is not None
    left, top, right, bottom = fit.crop_ltrb
    scaled_HWC = cv2.resize(pixels_HWC, fit.resized_px, interpolation=cv2.INTER_AREA)
    np.ascontiguousarray(scaled_HWC[top:bottom, left:right])
    return time.process_time() - began_cpu


def encode(model: Path, buckets: dict[Size, int], batch_size: int, precision: str) -> tuple[float, float]:
    """(seconds by the clock, on all cores) of making latents of ready batches."""
    import torch

    from sd_scripts.library.data.vae_encoder import DTYPES, best_device
    from sd_scripts.library.models.vae import load_vae

    device, dtype = best_device(), DTYPES[precision]
    vae: Any = load_vae(str(model)).module.to(device, dtype)
    # In the order of a picture's bytes, colours last: the layout in which the VAE is quicker.
    ready = [
        torch.randint(0, 256, (min(batch_size, count - start), height, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        for (width, height), count in sorted(buckets.items())
        for start in range(0, count, batch_size)
    ]
    if device.type == "cuda":
        ready = [pixels_BCHW.pin_memory() for pixels_BCHW in ready]
    with torch.inference_mode():
        # What happens once happens before the clock starts, as it does when ours starts.
        vae.encode(torch.zeros(1, 3, 64, 64, device=device, dtype=dtype))
        began, began_cpu = time.perf_counter(), time.process_time()
        for pixels_BCHW in ready:
            given_BCHW = pixels_BCHW.to(device, non_blocking=True).to(dtype) / 127.5 - 1.0
            vae.encode(given_BCHW).latent_dist.sample().float().cpu()
        return time.perf_counter() - began, time.process_time() - began_cpu


if __name__ == "__main__":
    main()
