"""Effects of the options of the tools."""

from typing import Any

from tests.effects.check import checked
from tests.effects.effect import Effect, unlike

CONVERT, MERGE = "tools/convert_diffusers20_original_sd", "tools/merge_models"
SHOW, EDIT = "tools/show_metadata", "tools/edit_metadata"
LATENTS, TEXTS = "tools/cache_latents", "tools/cache_text_encoder_outputs"
RESIZE, GROUP, BALANCE = "tools/resize_images_to_resolution", "tools/group_images", "tools/dataset_balancing"
FOLDERS, CAPTIONS = "tools/make_dreambooth_folders", "tools/edit_captions"


def refused(script: str, flag: str, value: Any, says: str, **given: Any) -> Effect:
    """It says so before any work."""
    return Effect(flag, value, ("error",), given, says=says, script=f"{script}.py")


def tells(script: str, flag: str, value: Any, says: str, **given: Any) -> Effect:
    """It is told, and nothing else is written."""
    return Effect(flag, value, ("said",), given, unseen_in=("files",), says=says, script=f"{script}.py")


FOLDER = {"model_to_save": "{here}/out/folder"}

MODELS = [
    unlike(CONVERT, "model_to_load", "{here}/other.safetensors", "weights"),
    unlike(CONVERT, "model_to_save", "{here}/out/Y.ckpt", "files"),
    unlike(CONVERT, "use_safetensors", True, "files", **FOLDER),
    refused(CONVERT, "v1", True, "is a Stable Diffusion 2 model: leave out", model_to_load="{here}/sd2.safetensors"),
    refused(CONVERT, "v2", True, "is a Stable Diffusion 1 model: leave out --v2"),
    unlike(CONVERT, "v_parameterization", True, "header", "said"),
    refused(CONVERT, "variant", "fp16", "is a single file"),
    refused(CONVERT, "reference_model", "{here}/pictures", "no diffusers folder with a scheduler", **FOLDER),
    refused(CONVERT, "unet_use_linear_projection", True, "is for Stable Diffusion 2 alone"),
    unlike(CONVERT, "save_precision_as", "fp16", "weights"),
    unlike(CONVERT, "fp16", True, "weights"),
    unlike(CONVERT, "bf16", True, "weights"),
    refused(CONVERT, "float", True, "float and fp16 are asked for", save_precision_as="fp16"),
    unlike(CONVERT, "metadata", "{'a': 'b'}", "header"),
    unlike(CONVERT, "epoch", 3, "header"),
    unlike(CONVERT, "global_step", 3, "header"),
    unlike(MERGE, "models", ["{here}/sd1.safetensors"] * 2, "weights"),
    unlike(MERGE, "output", "{here}/out/Y.safetensors", "files"),
    unlike(MERGE, "ratios", [0.9, 0.2], "weights", "said"),
    unlike(MERGE, "unet_only", True, "weights"),
    refused(MERGE, "device", "nowhere", "--device nowhere: this machine has no such device"),
    unlike(MERGE, "precision", "bf16", "weights"),
    unlike(MERGE, "saving_precision", "fp16", "weights"),
    tells(MERGE, "show_skipped", True, "a_part_more", models=["{here}/sd1.safetensors", "{here}/larger.safetensors"]),
    unlike(SHOW, "model", "{here}/sd1.safetensors", "said"),
]

TOLD = ("title", "author", "description", "license", "tags", "usage_hint", "merged_from", "trigger_phrase")
HEADERS = [
    unlike(EDIT, "model", "{here}/sd1.safetensors", "weights"),
    unlike(EDIT, "output", "{here}/out/Y.safetensors", "files"),
    refused(EDIT, "in_place", True, "--output and --in_place exclude"),
    unlike(EDIT, "set", ["a=2"], "header"),
    unlike(EDIT, "remove", ["ss_*"], "header"),
    unlike(EDIT, "set_from", "{here}/meta.json", "header"),
    *(
        Effect(f"metadata_{name}", "words", ("header",), unseen_in=("weights",), script=f"{EDIT}.py")
        for name in (*TOLD, "preprocessor", "is_negative_embedding")
    ),
    unlike(EDIT, "metadata_thumbnail", "{here}/pictures/a.png", "header"),
]

ALL = {"train_data_dir": "{here}/pictures", "in_json": "{here}/meta.json"}
OTHER = "{here}/other.safetensors"

CACHES = [
    unlike(LATENTS, "pretrained_model_name_or_path", OTHER, "files"),
    refused(LATENTS, "v2", True, "is a Stable Diffusion 1 model: leave out --v2"),
    refused(LATENTS, "sdxl", True, "is a Stable Diffusion 1 model: leave out --sdxl"),
    tells(LATENTS, "disable_mmap_load_safetensors", True, "read as a whole"),
    unlike(LATENTS, "vae", OTHER, "files"),
    unlike(LATENTS, "no_half_vae", True, "files", mixed_precision="bf16"),
    unlike(LATENTS, "mixed_precision", "bf16", "files"),
    unlike(LATENTS, "train_data_dir", "{here}/kept", "files"),
    unlike(LATENTS, "reg_data_dir", "{here}/kept", "files"),
    unlike(LATENTS, "in_json", "{here}/one.json", "files", train_data_dir="{here}/pictures"),
    refused(LATENTS, "dataset_config", "{here}/nowhere.toml", "nowhere.toml"),
    unlike(LATENTS, "caption_extension", ".txt", "said"),
    unlike(LATENTS, "cache_info", True, "files"),
    unlike(LATENTS, "debug_dataset", True, "said"),
    Effect("max_data_loader_n_workers", 1, ("threads",), unseen_in=("files",), script=f"{LATENTS}.py"),
    unlike(LATENTS, "skip_cache_check", True, "files", train_data_dir="{here}/cached", vae=OTHER),
    tells(LATENTS, "verify_cache", True, "are right, 0 are not", train_data_dir="{here}/cached"),
    unlike(LATENTS, "flip_aug", True, "files"),
    unlike(LATENTS, "alpha_mask", True, "files", **ALL),
    unlike(LATENTS, "resize_interpolation", "nearest", "files"),
    unlike(TEXTS, "caption_separator", ";", "files", **ALL),
    unlike(TEXTS, "keep_tokens_separator", "|||", "files", caption_prefix="one ||| two,"),
    unlike(TEXTS, "secondary_separator", ";;;", "files", caption_prefix="one;;;two,"),
    unlike(TEXTS, "caption_prefix", "one", "files"),
    unlike(TEXTS, "caption_suffix", "one", "files"),
    unlike(TEXTS, "fp8_base", True, "files", mixed_precision="bf16"),
    tells(TEXTS, "verify_cache", True, "are right, 0 are not", train_data_dir="{here}/encoded"),
    unlike(TEXTS, "skip_cache_check", True, "files", train_data_dir="{here}/encoded", caption_prefix="one"),
]

STEPS = {"min_bucket_reso": 32, "bucket_reso_steps": 16}

PICTURES = [
    unlike(RESIZE, "src_img_folder", "{here}/pictures/below", "files"),
    unlike(RESIZE, "dst_img_folder", "{here}/elsewhere", "files"),
    unlike(RESIZE, "save_as_png", True, "files"),
    unlike(RESIZE, "copy_associated_files", True, "files"),
    unlike(RESIZE, "max_resolution", "50x30,40x40", "files"),
    unlike(RESIZE, "divisible_by", 16, "files"),
    unlike(RESIZE, "interpolation", "nearest", "files"),
    unlike(RESIZE, "add_to_existing", True, "error", "files", dst_img_folder="{here}/there"),
    unlike(GROUP, "input_folder", "{here}/pictures/below", "files"),
    unlike(GROUP, "output_folder", "{here}/elsewhere", "files"),
    unlike(GROUP, "recursive", True, "files"),
    unlike(GROUP, "fit", True, "files"),
    unlike(GROUP, "max_resolution", "128,128", "files"),
    unlike(GROUP, "min_bucket_reso", 64, "files", **STEPS),
    unlike(GROUP, "max_bucket_reso", 64, "files", **STEPS),
    unlike(GROUP, "bucket_reso_steps", 32, "files", **STEPS),
    unlike(GROUP, "bucket_no_upscale", True, "files", **STEPS),
    unlike(GROUP, "add_to_existing", True, "error", "files", output_folder="{here}/there"),
    unlike(BALANCE, "folder", "{here}/kept", "said"),
    unlike(BALANCE, "output_folder", "{here}/out", "files"),
    unlike(BALANCE, "showings", 7, "said"),
    unlike(BALANCE, "add_to_existing", True, "error", "files", output_folder="{here}/there"),
    unlike(FOLDERS, "output_folder", "{here}/elsewhere", "files"),
    unlike(FOLDERS, "train_pictures", "{here}/pictures/below", "files"),
    unlike(FOLDERS, "instance_prompt", "zwx", "files"),
    unlike(FOLDERS, "class_prompt", "cat", "files"),
    unlike(FOLDERS, "repeats", 3, "files"),
    unlike(FOLDERS, "reg_pictures", "{here}/pictures/below", "files"),
    unlike(FOLDERS, "reg_repeats", 3, "files", reg_pictures="{here}/pictures/below"),
    unlike(FOLDERS, "add_to_existing", True, "error", "files", output_folder="{here}/there"),
]

TEXT_FILES = [
    unlike(CAPTIONS, "folder", "{here}/pictures/below", "files"),
    unlike(CAPTIONS, "output_folder", "{here}/elsewhere", "files"),
    refused(CAPTIONS, "in_place", True, "--output_folder and --in_place exclude"),
    unlike(CAPTIONS, "caption_extension", ".caption", "files"),
    unlike(CAPTIONS, "recursive", True, "files"),
    unlike(CAPTIONS, "find", "cat", "files"),
    unlike(CAPTIONS, "replace", "lion", "files", find="cat"),
    unlike(CAPTIONS, "trigger_word", "zwx", "files"),
    unlike(CAPTIONS, "prefix", "one ", "files"),
    unlike(CAPTIONS, "suffix", " one", "files"),
    unlike(CAPTIONS, "text_for_missing", "thing", "error", "files", caption_extension=".cap"),
    tells(CAPTIONS, "debug", True, "sks, cat"),
    unlike(CAPTIONS, "add_to_existing", True, "error", "files", output_folder="{here}/there"),
]

ROWS = [*MODELS, *HEADERS, *CACHES, *PICTURES, *TEXT_FILES]

test_it_changes_what_it_should = checked(ROWS)
