"""The guide's commands, as they stand in it: two folders by their full paths, and stages left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts.library.example.sd_models import make_sd1

SCRIPTS = Path(__file__).parents[2] / "sd_scripts"
TRAINING = ["--pretrained_model_name_or_path=model.ckpt", "--output_dir=fine_tuned", "--shuffle_caption", "--seed=1"]
TRAINING += ["--train_batch_size=1", "--learning_rate=5e-6", "--max_train_epochs=1", "--max_data_loader_n_workers=0"]


@pytest.fixture
def folder(tmp_path):
    """Two picture folders; each picture has a caption and tags."""
    for name in ("train_data1", "train_data2"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.effect_noise((72, 64 + 32 * i), 60).convert("RGB").save(tmp_path / name / f"{i}.png")
            (tmp_path / name / f"{i}.caption").write_text(f"woman {i} of {name}")
            (tmp_path / name / f"{i}.txt").write_text("red_hat, rating:safe")
    make_sd1(tmp_path / "model.ckpt")
    return tmp_path


def run(folder, script, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, SCRIPTS / script, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_two_folders_by_their_full_paths_train_together(folder):
    one, two = "train_data1", "train_data2"
    captions, tags = "finetune/merge_captions_to_metadata.py", "finetune/merge_dd_tags_to_metadata.py"
    run(folder, captions, "--full_path", one, "meta_cap1.json")
    run(folder, captions, "--full_path", "--in_json", "meta_cap1.json", two, "meta_cap2.json")
    run(folder, tags, "--full_path", "--in_json", "meta_cap2.json", one, "meta_cap_dd1.json")
    run(folder, tags, "--full_path", "--in_json", "meta_cap_dd1.json", two, "meta_cap_dd2.json")
    run(folder, "finetune/clean_captions_and_tags.py", "meta_cap_dd2.json", "meta_clean.json")
    latents, size = "finetune/prepare_buckets_latents.py", ["--max_resolution", "64,64", "--min_bucket_reso", "64"]
    size += ["--batch_size", "4", "--mixed_precision", "no"]
    run(folder, latents, "--full_path", one, "meta_clean.json", "meta_lat1.json", "model.ckpt", *size, "--flip_aug")
    run(folder, latents, "--full_path", two, "meta_lat1.json", "meta_lat2.json", "model.ckpt", *size)
    entries = json.loads((folder / "meta_lat2.json").read_text())
    assert [entry["caption"] for entry in entries.values()][:1] == ["girl 0 of train_data1"]
    assert {entry["tags"] for entry in entries.values()} == {"red hat"}
    assert len(list(folder.glob("*/*_flip.npz"))) == 2
    said = run(folder, "fine_tune.py", *TRAINING, "--in_json=meta_lat2.json", "--dataset_repeats=2")
    assert "4 pictures to train, 4 of them with latents." in said
    assert "Done: 8 steps, 1 epoch." in said
    assert (folder / "fine_tuned" / "last.ckpt").is_file()


@pytest.mark.parametrize("kind", ["captions", "dd_tags"])
def test_captions_or_tags_alone_without_cleaning_and_latents(folder, kind):
    run(folder, f"finetune/merge_{kind}_to_metadata.py", "train_data1", "meta.json")
    data = ["--in_json=meta.json", "--train_data_dir=train_data1", "--resolution=64,64"]
    said = run(folder, "fine_tune.py", *TRAINING, *data)
    assert "2 pictures to train, 0 of them with latents." in said
    assert "Done: 2 steps, 1 epoch." in said
