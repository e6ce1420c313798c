"""Effects of the options of gen_img.py."""

from typing import Any

import pytest

from tests.effects.check import checked
from tests.effects.effect import Effect, Field, unlike

# diffusers' Euler schedulers hand torch tensors to numpy in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NETWORK = "{here}/network/X.safetensors"
NETWORKS = {"network_weights": [NETWORK]}
TWO = {"prompt": "a red cat\na blue dog"}
XL = {"ckpt": "{here}/sdxl.safetensors"}
BEGUN = {"image_path": "{here}/pictures/a.png"}
STAGES = {"highres_fix_scale": 0.5, "highres_fix_steps": 2}


def drawn(flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    """It changes the pictures, or what `seen_in` says."""
    return unlike("gen_img", flag, value, *(seen_in or ("files",)), **given)


def same_pictures(flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    """It changes how they are drawn, not what comes of it."""
    return Effect(flag, value, seen_in, given, unseen_in=("files",), script="gen_img.py")


def refused(flag: str, value: Any, says: str, **given: Any) -> Effect:
    """It cannot be done here, or not together with `given`."""
    return Effect(flag, value, ("error",), given, says=says, script="gen_img.py")


MODEL = [
    drawn("ckpt", "{here}/other.safetensors", "files", "header"),
    drawn("vae", "{here}/other.safetensors"),
    refused("v1", True, "is Stable Diffusion 2: leave out --v1", ckpt="{here}/sd2.safetensors"),
    refused("v2", True, "is Stable Diffusion 1: leave out --v2"),
    refused("sdxl", True, "is Stable Diffusion 1: leave out --sdxl"),
    drawn("v_parameterization", True),
    drawn("zero_terminal_snr", True),
    drawn("no_half_vae", True, "files", "computed", bf16=True),
]

ADDED = [
    drawn("network_weights", [NETWORK], "files", "said"),
    drawn("network_mul", [9.0], "files", **NETWORKS),
    drawn("network_module", ["tests.networks.foreign"], network_mul=[9.0], **NETWORKS),
    drawn("network_args", ["conv=2"], "error", **NETWORKS),
    drawn("network_merge", True, "said", "computed", **NETWORKS),
    drawn("network_merge_n_models", 1, "said", "computed", **NETWORKS),
    same_pictures("network_show_meta", True, "said", **NETWORKS),
    drawn("textual_inversion_embeddings", ["{here}/zork.safetensors"], prompt="a zork"),
    drawn("hypernetwork_weights", ["{here}/style.pt"], "files", "said"),
    drawn("hypernetwork_mul", [0.5], hypernetwork_weights=["{here}/style.pt"]),
    drawn("grid", [NETWORK, "{here}/other.safetensors"], "files", "said"),
    drawn("grid_multipliers", [0, 9.0], "files", grid=[NETWORK]),
]

PROMPTS = [
    drawn("prompt", "a blue dog", "files", "header"),
    drawn("from_file", "{here}/prompts.txt"),
    drawn("negative_prompt", "rain", "files", "header"),
    drawn("shuffle_prompts", True, prompt="a\nb\nc\nd\ne\nf"),
    drawn("images_per_prompt", 2),
    drawn("n_iter", 2),
    drawn("seed", 8),
    drawn("iter_same_seed", True, **TWO),
]

DRAWING = [
    drawn("W", 72),
    drawn("H", 72),
    drawn("steps", 3),
    drawn("scale", 3.0),
    drawn("negative_scale", 3.0, negative_prompt="rain"),
    drawn("sampler", "euler_a"),
    drawn("clip_skip", 2),
    drawn("max_embeddings_multiples", 2),
    drawn("force_scheduler_zero_steps_offset", True),
]

SIZES = [
    drawn(flag, value, **XL)
    for flag, value in (("original_width", 512), ("original_height", 512), ("crop_left", 64), ("crop_top", 64))
] + [drawn(f"original_{side}_negative", 512, **XL) for side in ("width", "height")]

BEGINNING = [
    drawn("image_path", "{here}/pictures/a.png"),
    drawn("mask_path", "{here}/masks/a.png", **BEGUN),
    drawn("strength", 1.0, **BEGUN),
    drawn("highres_fix_scale", 0.5),
    drawn("highres_fix_steps", 2, highres_fix_scale=0.5),
    drawn("highres_fix_strength", 1.0, **STAGES),
    drawn("highres_fix_save_1st", True, **STAGES),
    drawn("highres_fix_latents_upscaling", True, **STAGES),
]

FILES = [
    drawn("outdir", "{here}/elsewhere"),
    drawn("sequential_file_name", True),
    drawn("use_original_file_name", True, **BEGUN),
]

SPEED = [
    drawn("batch_size", 2, "computed", **TWO),
    drawn("vae_batch_size", 1.0, "computed", batch_size=2, **TWO),
    refused("fp16", True, "needs a GPU"),
    drawn("bf16", True, "files", "computed"),
    refused("xformers", True, "xformers is not installed"),
    refused("diffusers_xformers", True, "xformers is not installed"),
    refused("sdpa", True, "--sdpa and --xformers exclude each other", xformers=True),
    drawn("opt_channels_last", True, "computed"),
]

CONSOLE = [
    same_pictures("console_log_level", "ERROR", "said"),
    drawn("console_log_file", "{here}/log.txt", "files"),
    drawn("console_log_simple", True, console_log_file="{here}/log.txt"),
]

ROWS = [*MODEL, *ADDED, *PROMPTS, *DRAWING, *SIZES, *BEGINNING, *FILES, *SPEED, *CONSOLE]

test_it_changes_what_it_should = checked(ROWS)
