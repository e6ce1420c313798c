"""Flags of sd-scripts that a script of ours does not have, each with the sentence that a user gets instead.

The sentence goes on from the flag's name: "--wandb_api_key is not built yet; ...".
"""

_YET = "is not built yet"


def _of(sentence: str, *flags: str) -> dict[str, str]:
    return dict.fromkeys(flags, sentence)


_FINE_TUNE = {
    **_of(
        "is not needed: the tokenizer comes with this program.",
        "tokenizer_cache_dir",
    ),
    **_of(
        f"{_YET}. TensorBoard logs are written when --logging_dir is given.",
        "log_with", "log_tracker_name", "log_tracker_config", "log_config", "wandb_run_name", "wandb_api_key",
    ),
    **_of(
        f"{_YET}. Redirect the terminal's output to keep a log.",
        "console_log_level", "console_log_file", "console_log_simple",
    ),
    **_of(
        f"{_YET}. Upload the saved files with the hub's own tools.",
        "huggingface_repo_id", "huggingface_repo_type", "huggingface_path_in_repo", "huggingface_token",
        "huggingface_repo_visibility", "save_state_to_huggingface", "resume_from_huggingface", "async_upload",
    ),
    **_of(
        f"{_YET}. Leave it out: the file gets its technical facts all the same.",
        "metadata_title", "metadata_author", "metadata_description", "metadata_license", "metadata_tags",
        "metadata_usage_hint", "metadata_thumbnail", "metadata_merged_from", "metadata_trigger_phrase",
        "metadata_preprocessor", "metadata_is_negative_embedding",
    ),
    **_of(
        f"{_YET}. Name the metadata file with --in_json.",
        "dataset_config", "dataset_class", "cache_info", "caption_extension", "caption_extention",
    ),
    **_of(
        f"{_YET}. Write the options on the command line, or use a preset in the page.",
        "config_file", "output_config",
    ),
    **_of(
        f"{_YET}. Edit the captions in the metadata file instead.",
        "keep_tokens_separator", "secondary_separator", "enable_wildcard", "caption_prefix", "caption_suffix",
        "weighted_captions", "caption_dropout_rate", "caption_dropout_every_n_epochs", "caption_tag_dropout_rate",
        "token_warmup_min", "token_warmup_step",
    ),
    **_of(
        f"{_YET}. Mirrored latents made by prepare_buckets_latents.py --flip_aug are used without any option.",
        "flip_aug",
    ),
    **_of(
        f"{_YET}. Change the pictures themselves instead.",
        "color_aug", "face_crop_aug_range", "random_crop", "alpha_mask", "resize_interpolation",
    ),
    **_of(
        f"{_YET}. prepare_buckets_latents.py writes latents to disk, and training uses them.",
        "cache_latents_to_disk", "skip_cache_check",
    ),
    **_of(
        f"{_YET}. Leave it out: readers already stay between epochs.",
        "persistent_data_loader_workers",
    ),
    **_of(
        f"{_YET}. --lr_scheduler knows constant, linear, cosine, cosine_with_restarts and polynomial.",
        "lr_scheduler_type", "lr_scheduler_args", "lr_decay_steps", "lr_scheduler_timescale",
        "lr_scheduler_min_lr_ratio",
    ),
    **_of(
        f"{_YET}. The text encoder is trained with --learning_rate.",
        "learning_rate_te",
    ),
}  # fmt: skip

REFUSED: dict[str, dict[str, str]] = {"fine_tune": _FINE_TUNE}
