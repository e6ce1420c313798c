"""The whole pipeline on the example project, stage by stage, by the commands that a user would type."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from sd_scripts.library.errors import TrainingFailed
from sd_scripts.library.io.atomic import write_text
from sd_scripts.library.report import Report

SCRIPTS = Path(__file__).resolve().parents[2]
PROMPTS = """\
# One prompt a line; options after it.
a photograph of a cat --w 128 --h 128 --d 1 --s 8
a cup of coffee on a wooden table --w 192 --h 128 --d 2 --s 8 --ss euler
"""


def run_demo(folder: Path, steps: int, report: Report) -> None:
    """Runs every stage in `folder` and says where everything is. Errors: TrainingFailed, naming the stage."""
    begun_s = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "prompts.txt", PROMPTS)
    stages = commands(folder, steps)
    for place, (title, words) in enumerate(stages, 1):
        report.phase("demo", f"\n[{place}/{len(stages)}] {title}\n$ python {_shown(words)}")
        done = subprocess.run([sys.executable, *words], env=os.environ | {"HF_HUB_OFFLINE": "1"})
        if done.returncode:
            raise TrainingFailed(f"The demo stopped: {Path(words[0]).name} ended with exit code {done.returncode}.")
    report.say(_where(folder, time.monotonic() - begun_s))


def commands(folder: Path, steps: int) -> list[tuple[str, list[str]]]:
    """(title, words after `python`) of every stage."""
    pictures, models = str(folder / "pictures"), folder / "models"
    meta = {name: str(folder / f"meta_{name}.json") for name in ("cap", "cap_dd", "clean", "lat")}
    stages = {
        "tools/make_example.py": ("Example: photographs and tiny models", [str(folder)]),
        "finetune/make_captions.py": (
            "Captions, with BLIP",
            [pictures, "--caption_weights", str(models / "blip"), "--batch_size", "4", "--max_length", "12"],
        ),
        "finetune/tag_images_by_wd14_tagger.py": (
            "Tags, with a WD14 tagger",
            [pictures, "--repo_id", str(models / "wd14"), "--batch_size", "4"],
        ),
        "finetune/tag_images_by_deepdanbooru.py": (
            "Tags, with DeepDanbooru, into files of their own",
            [pictures, "--project_path", str(models / "deepdanbooru"), "--caption_extension", ".deepdanbooru"],
        ),
        "finetune/merge_captions_to_metadata.py": ("Captions into metadata", [pictures, meta["cap"]]),
        "finetune/merge_dd_tags_to_metadata.py": (
            "Tags into metadata",
            [pictures, meta["cap_dd"], "--in_json", meta["cap"]],
        ),
        "finetune/clean_captions_and_tags.py": ("Cleaning", [meta["cap_dd"], meta["clean"]]),
        "finetune/prepare_buckets_latents.py": (
            "Buckets and latents",
            [pictures, meta["clean"], meta["lat"], str(models / "sd1.safetensors"), "--batch_size", "4", "--flip_aug"]
            + ["--max_resolution", "256,256", "--min_bucket_reso", "128", "--max_bucket_reso", "512"],
        ),
        "fine_tune.py": ("Training", _training(folder, pictures, meta["lat"], steps)),
    }
    return [(title, [str(SCRIPTS / script), *words]) for script, (title, words) in stages.items()]


def _training(folder: Path, pictures: str, metadata: str, steps: int) -> list[str]:
    return [
        f"--pretrained_model_name_or_path={folder / 'models' / 'sd1.safetensors'}",
        f"--in_json={metadata}",
        f"--train_data_dir={pictures}",
        f"--output_dir={folder / 'trained'}",
        "--output_name=example",
        f"--logging_dir={folder / 'logs'}",
        "--shuffle_caption",
        "--keep_tokens=1",
        "--train_batch_size=2",
        "--learning_rate=1e-4",
        f"--max_train_steps={steps}",
        f"--save_every_n_steps={max(1, steps // 2)}",
        f"--sample_every_n_steps={max(1, steps // 2)}",
        f"--sample_prompts={folder / 'prompts.txt'}",
        "--sdpa",
        "--seed=42",
        "--max_data_loader_n_workers=0",
    ]


def _shown(words: list[str]) -> str:
    return shlex.join([os.path.relpath(words[0]), *words[1:]])


def _where(folder: Path, seconds: float) -> str:
    return f"""
Done in {seconds:.0f} s. Everything is in {folder.absolute()}:
  pictures/   photographs, with captions, tags and latents beside them (LICENCES.txt says whose they are)
  models/     the tiny models of this example
  meta_*.json the metadata after each stage
  trained/    example.safetensors, and sample pictures in sample/
  logs/       for TensorBoard: tensorboard --logdir {shlex.quote(str(folder / "logs"))}
The models of this example have random weights: they show that every stage works. The captions, tags and samples that
they make mean nothing. For real work, start the page with ./setup.sh and choose a real base model."""
