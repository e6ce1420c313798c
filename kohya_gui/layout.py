"""Where each option stands in its stage's form, and when it is shown: data, no code.

A stage has groups of essentials, always open, and sections, folded. Every flag of the stage's options class stands in
exactly one of them (tests/gui_page/test_layout.py). Names are keys of the locales. Trainings share what they have in
common (layout_training.py).
"""

from kohya_gui.layout_file_tools import FILE_TOOL_LAYOUTS
from kohya_gui.layout_network_tools import NETWORK_TOOL_LAYOUTS
from kohya_gui.layout_training import TRAINING_LAYOUTS
from kohya_gui.places import NEVER, Layout, absent, any_of, given
from sd_scripts.options.optimizer import OPTIMIZER_GROUPS, SCHEDULES

MERGE = Layout(
    groups={"merge": "train_data_dir in_json out_json caption_extension full_path"},
    sections={"more": "recursive debug"},
)

LAYOUTS: dict[str, Layout] = {
    "caption_blip": Layout(
        groups={
            "pictures_and_model": "train_data_dir caption_weights",
            "sentence": "batch_size beam_search max_length seed",
        },
        sections={
            "text": "num_beams top_p min_length",
            "files": "caption_extension recursive skip_described fast_decode max_data_loader_n_workers debug",
        },
        shown={"num_beams": given("beam_search"), "top_p": absent("beam_search")},
    ),
    "caption_git": Layout(
        groups={
            "pictures_and_model": "train_data_dir model_id",
            "sentence": "batch_size max_length remove_words",
        },
        sections={"files": "caption_extension recursive skip_described fast_decode max_data_loader_n_workers debug"},
    ),
    "tag_wd14": Layout(
        groups={
            "pictures_and_model": "train_data_dir repo_id",
            "tags": "thresh undesired_tags remove_underscore append_tags batch_size",
        },
        sections={
            "thresholds": "general_threshold character_threshold meta_threshold model_threshold copyright_threshold"
            " artist_threshold",
            "text": "frequency_tags use_rating_tags use_rating_tags_as_last_tag use_quality_tags"
            " use_quality_tags_as_last_tag character_tags_first character_tag_expand always_first_tags"
            " caption_separator tag_replacement",
            "files": "caption_extension output_path recursive skip_described fast_decode model_dir force_download onnx"
            " max_data_loader_n_workers debug",
        },
        shown={"onnx": NEVER},
    ),
    "tag_deepdanbooru": Layout(
        groups={"pictures_and_model": "train_data_dir project_path", "tags": "threshold batch_size"},
        sections={
            "model": "model_path tags_path",
            "files": "caption_extension recursive skip_described fast_decode max_data_loader_n_workers debug",
        },
    ),
    "merge_captions": MERGE,
    "merge_tags": MERGE,
    "clean": Layout(
        groups={"clean": "in_json out_json rules"},
        sections={"more": "debug third_file"},
        shown={"third_file": NEVER},
    ),
    "latents": Layout(
        groups={
            "pictures_and_model": "train_data_dir model_name_or_path",
            "metadata": "in_json out_json",
            "latents": "max_resolution batch_size mixed_precision flip_aug skip_existing",
        },
        sections={
            "model_and_buckets": "v2 min_bucket_reso max_bucket_reso bucket_reso_steps bucket_no_upscale alpha_mask"
            " resize_interpolation fast_decode",
            "files": "full_path recursive max_data_loader_n_workers verify_cache",
        },
        shown={"min_bucket_reso": absent("bucket_no_upscale"), "max_bucket_reso": absent("bucket_no_upscale")},
    ),
    "try": Layout(
        groups={
            "try_model": "ckpt grid grid_multipliers",
            "try_prompts": "prompt negative_prompt images_per_prompt seed",
            "try_drawing": "W H steps scale sampler outdir",
        },
        sections={
            "try_added": "network_weights network_mul textual_inversion_embeddings hypernetwork_weights"
            " hypernetwork_mul network_merge network_merge_n_models network_module network_args network_show_meta",
            "try_picture": "image_path mask_path strength",
            "try_stages": "highres_fix_scale highres_fix_steps highres_fix_strength highres_fix_save_1st"
            " highres_fix_latents_upscaling",
            "try_more": "from_file n_iter iter_same_seed shuffle_prompts negative_scale clip_skip"
            " max_embeddings_multiples vae v_parameterization zero_terminal_snr force_scheduler_zero_steps_offset"
            " v1 v2 sdxl",
            "try_sdxl": "original_width original_height original_width_negative original_height_negative crop_left"
            " crop_top",
            "try_speed": "batch_size vae_batch_size bf16 fp16 no_half_vae sdpa xformers diffusers_xformers"
            " opt_channels_last",
            "try_files": "sequential_file_name use_original_file_name console_log_level console_log_file"
            " console_log_simple",
        },
        shown={
            **dict.fromkeys(
                ("network_mul", "network_merge", "network_merge_n_models", "network_module", "network_args"),
                given("network_weights"),
            ),
            "network_show_meta": given("network_weights"),
            "hypernetwork_mul": given("hypernetwork_weights"),
            "grid_multipliers": any_of(given("grid"), given("network_weights"), given("hypernetwork_weights")),
            "mask_path": given("image_path"),
            "use_original_file_name": given("image_path"),
            **dict.fromkeys(
                ("highres_fix_steps", "highres_fix_strength", "highres_fix_save_1st", "highres_fix_latents_upscaling"),
                given("highres_fix_scale"),
            ),
        },
    ),
    **TRAINING_LAYOUTS,
    **NETWORK_TOOL_LAYOUTS,
    **FILE_TOOL_LAYOUTS,
}

WIDE = ("pretrained_model_name_or_path", "train_data_dir", "caption_weights", "model_id", "repo_id", "project_path",
        "model_name_or_path", "tag_replacement", "undesired_tags", "optimizer_args", "lr_scheduler_args",
        "models", "sample_prompts", "dataset_config", "metadata_description", "ckpt", "grid", "prompt",
        "negative_prompt", "network_weights", "textual_inversion_embeddings", "hypernetwork_weights")  # fmt: skip
"""Fields that take two columns."""

LINES = ("prompt",)
"""Fields of several lines."""

LISTED: dict[str, tuple[str, ...]] = {
    "lr_scheduler": tuple(SCHEDULES),
    "huggingface_repo_type": ("model", "dataset", "space"),
    "huggingface_repo_visibility": ("private", "public"),
}
"""Free text on the command line, but a list in the form."""

SUGGESTED: dict[str, tuple[str, ...]] = {
    "lr_scheduler_type": (
        "CosineAnnealingLR",
        "CosineAnnealingWarmRestarts",
        "OneCycleLR",
        "StepLR",
        "MultiStepLR",
        "ExponentialLR",
        "PolynomialLR",
        "LinearLR",
        "ConstantLR",
        "CyclicLR",
    ),
    "network_module": ("networks.lora", "networks.lora_fa", "networks.dylora", "networks.oft", "lycoris.kohya"),
    "caption_extension": (".caption", ".txt"),
    "max_resolution": ("512,512", "640,640", "768,768"),
    "resolution": ("512,512", "640,640", "768,768", "1024,1024"),
    "face_crop_aug_range": ("2.0,4.0", "1.5,3.0"),
    "repo_id": (
        "SmilingWolf/wd-v1-4-convnext-tagger-v2",
        "SmilingWolf/wd-v1-4-moat-tagger-v2",
        "SmilingWolf/wd-vit-tagger-v3",
        "SmilingWolf/wd-swinv2-tagger-v3",
        "SmilingWolf/wd-eva02-large-tagger-v3",
    ),
    "caption_weights": ("Salesforce/blip-image-captioning-large", "Salesforce/blip-image-captioning-base"),
    "model_id": ("microsoft/git-large-textcaps", "microsoft/git-large-coco", "microsoft/git-base-coco"),
}
"""Offered while typing; anything else may be typed."""

GROUPED: dict[str, dict[str, tuple[str, ...]]] = {
    "optimizer_type": OPTIMIZER_GROUPS,
}
"""Suggestions that stand under headings; a heading is a key of the locales."""
