"""Forms of the tools for models, caches, pictures and texts."""

from kohya_gui.launching import FIELDS
from kohya_gui.places import NEVER, Layout, absent, given, one_of

_ABOUT = (
    "metadata_title metadata_author metadata_description metadata_license metadata_tags metadata_trigger_phrase"
    " metadata_usage_hint metadata_thumbnail"
)
_CONSOLE = "console_log_level console_log_file console_log_simple config_file output_config"
_MODEL = "pretrained_model_name_or_path in_json train_data_dir"

FILE_TOOL_LAYOUTS: dict[str, Layout] = {
    "convert_model": Layout(
        groups={"files": "model_to_load model_to_save save_precision_as use_safetensors"},
        sections={
            "model": "v1 v2 v_parameterization variant reference_model unet_use_linear_projection",
            "about": "metadata epoch global_step",
            "more": "fp16 bf16 float",
        },
    ),
    "merge_models": Layout(
        groups={"files": "models ratios output saving_precision"},
        sections={"more": "unet_only device precision show_skipped"},
    ),
    "show_metadata": Layout(groups={"files": "model"}, sections={}),
    "edit_metadata": Layout(
        groups={"files": "model output in_place", "about": _ABOUT},
        sections={
            "more": "set remove set_from metadata_merged_from metadata_preprocessor metadata_is_negative_embedding",
        },
        shown={"output": absent("in_place")},
    ),
    "cache_latents": Layout(
        groups={
            "model_and_data": _MODEL,
            "latents": "resolution enable_bucket flip_aug mixed_precision vae_batch_size skip_cache_check",
        },
        sections={
            "data": "reg_data_dir dataset_config caption_extension cache_info debug_dataset max_data_loader_n_workers",
            "pictures": "alpha_mask resize_interpolation min_bucket_reso max_bucket_reso bucket_reso_steps"
            " bucket_no_upscale",
            "model": "v2 sdxl vae no_half_vae disable_mmap_load_safetensors",
            "several_gpus": FIELDS,
            "more": f"verify_cache cache_latents cache_latents_to_disk {_CONSOLE}",
        },
        shown={
            "min_bucket_reso": given("enable_bucket"),
            "max_bucket_reso": given("enable_bucket"),
            "bucket_reso_steps": given("enable_bucket"),
            "bucket_no_upscale": given("enable_bucket"),
            "no_half_vae": one_of("mixed_precision", "fp16", "bf16"),
            "cache_latents": NEVER,
            "cache_latents_to_disk": NEVER,
        },
    ),
    "cache_texts": Layout(
        groups={"model_and_data": _MODEL, "text": "max_token_length clip_skip mixed_precision skip_cache_check"},
        sections={
            "data": "reg_data_dir dataset_config caption_extension cache_info debug_dataset max_data_loader_n_workers",
            "captions": "caption_prefix caption_suffix caption_separator keep_tokens_separator secondary_separator"
            " weighted_captions",
            "model": "v2 sdxl fp8_base disable_mmap_load_safetensors",
            "several_gpus": FIELDS,
            "more": f"verify_cache cache_text_encoder_outputs cache_text_encoder_outputs_to_disk {_CONSOLE}",
        },
        shown={
            "fp8_base": one_of("mixed_precision", "fp16", "bf16"),
            "cache_text_encoder_outputs": NEVER,
            "cache_text_encoder_outputs_to_disk": NEVER,
        },
    ),
    "make_folders": Layout(
        groups={
            "files": "train_pictures output_folder",
            "token": "instance_prompt class_prompt repeats",
            "regularisation": "reg_pictures reg_repeats",
        },
        sections={"more": "add_to_existing"},
        shown={"reg_repeats": given("reg_pictures")},
    ),
    "balance_dataset": Layout(
        groups={"files": "folder output_folder showings"},
        sections={"more": "add_to_existing"},
        shown={"add_to_existing": given("output_folder")},
    ),
    "group_images": Layout(
        groups={"files": "input_folder output_folder", "latents": "max_resolution fit recursive"},
        sections={
            "pictures": "min_bucket_reso max_bucket_reso bucket_reso_steps bucket_no_upscale",
            "more": "add_to_existing",
        },
        shown={"min_bucket_reso": absent("bucket_no_upscale"), "max_bucket_reso": absent("bucket_no_upscale")},
    ),
    "resize_images": Layout(
        groups={"files": "src_img_folder dst_img_folder", "latents": "max_resolution divisible_by interpolation"},
        sections={"more": "save_as_png copy_associated_files add_to_existing"},
    ),
    "edit_captions": Layout(
        groups={
            "files": "folder caption_extension output_folder in_place",
            "text": "trigger_word prefix suffix find replace text_for_missing",
        },
        sections={"more": "recursive add_to_existing debug"},
        shown={
            "output_folder": absent("in_place"),
            "replace": given("find"),
            "add_to_existing": given("output_folder"),
        },
    ),
}
