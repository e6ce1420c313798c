"""Flags of sd-scripts that the tools for files of latents and texts do not have, by the reason; see refused.py."""

_TRAINING = (
    "adaptive_noise_scale", "async_upload", "caption_dropout_every_n_epochs", "caption_dropout_rate",
    "conditioning_data_dir", "dataset_repeats", "ddp_gradient_as_bucket_view", "ddp_static_graph", "ddp_timeout",
    "dynamo_backend", "full_bf16", "full_fp16", "gradient_accumulation_steps", "gradient_checkpointing", "highvram",
    "huber_c", "huber_scale", "huber_schedule", "huggingface_path_in_repo", "huggingface_repo_id",
    "huggingface_repo_type", "huggingface_repo_visibility", "huggingface_token", "ip_noise_gamma",
    "ip_noise_gamma_random_strength", "log_config", "log_prefix", "log_tracker_config", "log_tracker_name",
    "log_with", "logging_dir", "loss_type", "lowram", "masked_loss", "max_timestep", "max_train_epochs",
    "max_train_steps", "mem_eff_attn", "metadata_author", "metadata_description", "metadata_is_negative_embedding",
    "metadata_license", "metadata_merged_from", "metadata_preprocessor", "metadata_tags", "metadata_thumbnail",
    "metadata_title", "metadata_trigger_phrase", "metadata_usage_hint", "min_timestep", "multires_noise_discount",
    "multires_noise_iterations", "noise_offset", "noise_offset_random_strength", "output_dir", "output_name",
    "persistent_data_loader_workers", "prior_loss_weight", "resume", "resume_from_huggingface", "sample_at_first",
    "sample_every_n_epochs", "sample_every_n_steps", "sample_prompts", "sample_sampler", "save_every_n_epochs",
    "save_every_n_steps", "save_last_n_epochs", "save_last_n_epochs_state", "save_last_n_steps",
    "save_last_n_steps_state", "save_n_epoch_ratio", "save_precision", "save_state", "save_state_on_train_end",
    "save_state_to_huggingface", "sdpa", "seed", "torch_compile", "train_batch_size", "v_parameterization",
    "wandb_api_key", "wandb_run_name", "xformers", "zero_terminal_snr",
)  # fmt: skip
_OTHER_FAMILIES = (
    "ae", "apply_t5_attn_mask", "blocks_to_swap", "clip_l", "controlnet_model_name_or_path", "discrete_flow_shift",
    "flux", "guidance_scale", "logit_mean", "logit_std", "mode_scale", "model_prediction_type", "model_type",
    "sigmoid_scale", "t5xxl", "t5xxl_max_token_length", "timestep_sampling", "weighting_scheme",
)  # fmt: skip
_CHANGING_CAPTIONS = (
    "caption_tag_dropout_rate", "enable_wildcard", "keep_tokens", "shuffle_caption", "token_warmup_min",
    "token_warmup_step",
)  # fmt: skip
_IN_LATENTS = (
    "alpha_mask", "bucket_no_upscale", "bucket_reso_steps", "cache_latents", "cache_latents_to_disk", "enable_bucket",
    "flip_aug", "max_bucket_reso", "min_bucket_reso", "resize_interpolation", "resolution", "vae", "vae_batch_size",
)  # fmt: skip
_IN_TEXTS = (
    "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk", "caption_prefix", "caption_separator",
    "caption_suffix", "clip_skip", "fp8_base", "keep_tokens_separator", "max_token_length", "secondary_separator",
)  # fmt: skip
_CHANGING_PICTURES = ("color_aug", "face_crop_aug_range", "random_crop")


def _all(flags: tuple[str, ...], sentence: str) -> dict[str, str]:
    return dict.fromkeys(flags, sentence)


_BOTH = {
    **_all(_TRAINING, "is for the training itself: these files do not depend on it. Leave it out."),
    **_all(_OTHER_FAMILIES, "is for Flux, and this makes files for Stable Diffusion 1, 2 and XL. Leave it out."),
    "dataset_class": "gives data of its own kind; files are made for pictures in folders. Leave it out.",
    "text_encoder_batch_size": "is not needed: each caption is encoded alone, so none depends on others. Leave it out.",
    "tokenizer_cache_dir": "is not needed: the tokenizer comes with this program. Leave it out.",
}

LATENTS = {
    **_BOTH,
    **_all(_CHANGING_CAPTIONS, "is about captions, which latents do not depend on. Leave it out."),
    **_all(_IN_TEXTS, "is about captions, whose files cache_text_encoder_outputs.py makes. Leave it out."),
    **_all(_CHANGING_PICTURES, "changes a picture each time it is shown, so its latents cannot be kept. Leave it out."),
}

TEXTS = {
    **_BOTH,
    **_all(_CHANGING_CAPTIONS, "goes with captions that change, of which no files can be kept. Leave it out."),
    **_all(_IN_LATENTS, "is about pictures, whose files cache_latents.py makes. Leave it out."),
    **_all(_CHANGING_PICTURES, "is about pictures, which files of texts do not depend on. Leave it out."),
    "t5xxl_dtype": "is for Flux, and this makes files for Stable Diffusion 1, 2 and XL. Leave it out.",
}
