"""Stops programs at moments drawn by lot, in every way a stop can come: `python -m benchmarks.stops [--times 3]`.

Each must end with 0 in time, leave no half a file and no process, and change no picture and no text.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from hashlib import sha256
from pathlib import Path

from benchmarks.stopping import stoppable
from sd_scripts.library.example import taggers
from tests.stopping.program import TRAIN, Program, gone, make_project

MODEL = "sd1.safetensors"
TRAINER = [*TRAIN, "--output_dir=out"]
DRAWING = ["--sample_prompts=prompts.txt", "--sample_every_n_steps=2"]
HELD = ["--validation_split=0.3", "--validate_every_n_steps=1"]
PROGRAMS: dict[str, tuple[str, list[str]]] = {
    "training": ("fine_tune.py", TRAINER),
    "training, caching": ("fine_tune.py", [*TRAINER, "--cache_latents_to_disk"]),
    "training, drawing": ("fine_tune.py", [*TRAINER, *DRAWING]),
    "training, saving": ("fine_tune.py", [*TRAINER, "--save_every_n_steps=1", "--save_last_n_steps=2", "--save_state"]),
    "training, validating": ("fine_tune.py", [*TRAINER, *HELD]),
    "network": ("train_network.py", [*TRAINER, "--network_module=networks.lora"]),
    "new word": ("train_textual_inversion.py", [*TRAINER, "--token_string=zorg", "--caption_prefix=zorg,"]),
    "hypernetwork": ("train_hypernetwork.py", TRAINER),
    "captioner": ("finetune/make_captions.py", ["--caption_weights=models/blip", "pictures"]),
    "tagger": ("finetune/tag_images_by_wd14_tagger.py", ["--repo_id=models/wd14", "pictures"]),
    "latents": ("finetune/prepare_buckets_latents.py", ["pictures", "meta.json", "new.json", MODEL]),
    "metadata": ("finetune/merge_captions_to_metadata.py", ["pictures", "merged.json", "--caption_extension=.txt"]),
    "merging": ("tools/merge_models.py", ["--models", MODEL, MODEL, "--output=out/merged.safetensors"]),
    "converting": ("tools/convert_diffusers20_original_sd.py", [MODEL, "out/converted"]),
    "drawing": ("gen_img.py", [f"--ckpt={MODEL}", "--outdir=out", "--prompt=a cat", "--n_iter=50", "--W=64", "--H=64"]),
}
WAYS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP, "page": None}
# Loading takes about so long here; the work itself begins after it.
LATEST_S = 12.0
WITHIN_S = 60.0


def originals(folder: Path) -> str:
    """What must not change."""
    digest = sha256()
    for path in sorted((folder / "pictures").glob("*.[pt]*")):
        digest.update(path.read_bytes() if path.suffix in (".png", ".txt") else b"")
    return digest.hexdigest()


def stopped(folder: Path, name: str, way: str, after_s: float) -> str:
    """What became of one program that was stopped: how it ended, or what is wrong."""
    script, options = PROGRAMS[name]
    (folder / "out").mkdir(exist_ok=True)
    before = originals(folder)
    program = Program(folder, script, *options)
    try:
        time.sleep(after_s)
        if program.process.poll() is not None:
            return "had ended" if program.process.returncode == 0 else f"failed: {program.said[-300:]}"
        family, began_s, number = program.family(), time.monotonic(), WAYS[way]
        if number is None:
            program.ask("stop")
        else:
            program.send(number)
        code = program.ends(WITHIN_S)
        took_s = time.monotonic() - began_s
        wrong = [text for text, is_so in (
            (f"code {code}: {program.said[-400:]}", code != 0),
            ("a process is left", not gone(family, 5)),
            (f"half a file: {program.parts()}", bool(program.parts())),
            ("a picture or a text changed", originals(folder) != before),
        ) if is_so]  # fmt: skip
        return "; ".join(wrong) or f"stopped in {took_s:.0f} s"
    finally:
        program.kill()
        shutil.rmtree(folder / "out")


def main(argv: list[str]) -> int:
    """Tells of each stop, and counts at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="stops of each program")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(argv)
    lots, counts = random.Random(asked.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        folder = make_project(Path(place) / "project")
        (folder / "models").mkdir()
        taggers.make_blip(folder / "models" / "blip")
        taggers.make_wd14(folder / "models" / "wd14")
        for name in PROGRAMS:
            for _ in range(asked.times):
                way, after_s = lots.choice(list(WAYS)), lots.uniform(0.5, LATEST_S)
                what = stopped(folder, name, way, after_s)
                kind = "stopped" if what.startswith("stopped in") else what if what == "had ended" else "WRONG"
                counts[kind] += 1
                print(f"{name}, {way} after {after_s:.1f} s: {what}", flush=True)
    print(f"{sum(counts.values())} programs started: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return int(counts["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(stoppable(partial(main, sys.argv[1:])))
