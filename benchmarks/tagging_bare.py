"""The bare computation beside benchmarks/tagging.py: the model on ready batches, and the reading of the same files.

`python -m benchmarks.tagging_bare CASE MODEL PICTURES CORES DEVICE WHAT` prints {"wall_s", "cpu_s"} of the model, which
is loaded before, with its batches ready, or of the reading. Each is a process of its own, as a user's run is one: what
the system takes to give it its memory, and a model's first batch, count on both sides.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BATCH_SIZE = 8
LENGTHS = {"min_length": 14, "max_length": 24}
GIT_LENGTH = 20
BEAMS = 3

Array = NDArray[Any]
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def decoded(path: Path, least_px: Callable[[int, int], tuple[int, int]]) -> Image.Image:
    """A JPEG at the smallest scale that is no smaller than 1.5 times what is needed; anything else whole."""
    image = Image.open(path)
    width_px, height_px = least_px(*image.size)
    image.draft(None, (width_px * 3 // 2, height_px * 3 // 2))
    return image if image.mode == "RGB" else image.convert("RGB")


def by_longest(side_px: int) -> Callable[[int, int], tuple[int, int]]:
    """The size whose longest side is `side_px`."""
    return lambda width, height: (width * side_px // max(width, height), height * side_px // max(width, height))


def for_wd14(path: Path) -> Array:
    """On a white square, by area to 448 px, BGR as floats."""
    import cv2

    pixels = np.asarray(decoded(path, by_longest(448)))
    height, width, _ = pixels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = cv2.copyMakeBorder(
        pixels, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    return cv2.resize(square, (448, 448), interpolation=cv2.INTER_AREA)[:, :, ::-1].astype(np.float32)


def for_deepdanbooru(path: Path) -> Array:
    """By area to fit into 512 px, its edges repeated around it, 0 to 1."""
    import cv2

    pixels = np.asarray(decoded(path, by_longest(512)))
    scale = 512 / max(pixels.shape)
    width, height = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    shift = np.array([[1, 0, (512 - width) / 2], [0, 1, (512 - height) / 2]])
    return cv2.warpAffine(small, shift, (512, 512), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) / 255.0


def for_blip(path: Path) -> Array:
    """Bicubic to 384 px square, normalised planes."""
    image = decoded(path, lambda *_: (384, 384)).resize((384, 384), Image.Resampling.BICUBIC)
    return _normalised(image)


def for_git(path: Path) -> Array:
    """Bicubic by the short side to 224 px, the centre of it, normalised planes."""
    image = decoded(path, lambda *_: (224, 224))
    scale = 224 / min(image.size)
    width, height = int(image.width * scale), int(image.height * scale)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    return _normalised(image.crop((left, top, left + 224, top + 224)))


def _normalised(image: Image.Image) -> Array:
    pixels = (np.asarray(image, np.float32) / 255.0 - MEAN) / DEVIATION
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def onnx_model(path: Path, cores: int, device: str) -> Callable[[Array], object]:
    """onnxruntime alone. Its threads do not spin while they wait: ours do not either."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}[device]
    if device == "cuda":
        onnxruntime.preload_dlls()
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})


def blip_model(how: dict[str, Any]) -> Callable[[Path, int, str], Callable[[Array], object]]:
    """transformers' own BLIP, with the words that it begins with."""

    def load(folder: Path, cores: int, device: str) -> Callable[[Array], object]:
        import torch
        from transformers import BertTokenizer, BlipForConditionalGeneration

        torch.set_num_threads(cores)
        model: Any = BlipForConditionalGeneration.from_pretrained(folder).eval().to(device)
        prompt_BL = BertTokenizer.from_pretrained(folder)("a picture of ", return_tensors="pt")["input_ids"]

        @torch.inference_mode()
        def run(images: Array) -> object:
            words_BL = prompt_BL.repeat(len(images), 1).to(device)
            pixels_BCHW = torch.from_numpy(images).to(device)
            mask_BL = torch.ones_like(words_BL)
            found = model.generate(
                pixel_values=pixels_BCHW, input_ids=words_BL, attention_mask=mask_BL, **LENGTHS, **how
            )
            return found.cpu()

        return run

    return load


def git_model(folder: Path, cores: int, device: str) -> Callable[[Array], object]:
    """transformers' own GIT."""
    import torch
    from transformers import GitForCausalLM

    torch.set_num_threads(cores)
    model: Any = GitForCausalLM.from_pretrained(folder).eval().to(device)

    @torch.inference_mode()
    def run(images: Array) -> object:
        return model.generate(pixel_values=torch.from_numpy(images).to(device), max_length=GIT_LENGTH).cpu()

    return run


def deepdanbooru_model(folder: Path, cores: int, device: str) -> Callable[[Array], object]:
    """The ONNX form that our tagger made of the Keras model in its first run."""
    (made,) = folder.glob("*.onnx")
    return onnx_model(made, cores, device)


def wd14_model(folder: Path, cores: int, device: str) -> Callable[[Array], object]:
    """The ONNX model of a WD14 folder."""
    return onnx_model(folder / "model.onnx", cores, device)


DRAWN = {"do_sample": True, "top_p": 0.9, "top_k": 0, "repetition_penalty": 1.1}
CASES: dict[str, tuple[Callable[[Path], Array], Callable[[Path, int, str], Callable[[Array], object]]]] = {
    "wd14": (for_wd14, wd14_model),
    "deepdanbooru": (for_deepdanbooru, deepdanbooru_model),
    "blip": (for_blip, blip_model(DRAWN)),
    "blip_beams": (for_blip, blip_model({"do_sample": False, "num_beams": BEAMS})),
    "git": (for_git, git_model),
}


def main(case: str, model: str, pictures: str, cores: str, device: str, what: str) -> None:
    """Times one of the two, from the first picture to the last."""
    import cv2

    from sd_scripts.library.data.read_ahead import keep_memory

    cv2.setNumThreads(1)
    # As ours do: to be given zeroed pages for each batch takes long.
    keep_memory()
    Image.init()
    prepare, load = CASES[case]
    paths = sorted(path for path in Path(pictures).iterdir() if path.suffix in (".jpg", ".png", ".webp"))
    with ThreadPoolExecutor(int(cores)) as pool:
        if what == "reading":
            # Pictures go as soon as they are read: nobody waits for them.
            took = timed(lambda path: bool(prepare(path).size), paths, pool.map)
        else:
            run, ready = load(Path(model), int(cores), device), list(pool.map(prepare, paths))
            batches = [np.stack(ready[first : first + BATCH_SIZE]) for first in range(0, len(ready), BATCH_SIZE)]
            took = timed(run, batches, map)
    print(json.dumps(took))


def timed(
    work: Callable[[Any], object], items: Sequence[Any], each: Callable[..., Iterable[object]]
) -> dict[str, float]:
    """Seconds by the clock, and of all cores, of the work on all items; `each`: the map that does it."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in each(work, items):
        pass
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    main(*sys.argv[1:])
