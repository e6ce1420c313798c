"""Flags of sd-scripts that a script of ours does not have, each with the sentence that a user gets instead.

The sentence goes on from the flag's name: "--tokenizer_cache_dir is not needed: ...".
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
        f"{_YET}. Name the metadata file with --in_json.",
        "dataset_config", "dataset_class", "cache_info", "caption_extension", "caption_extention",
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
        f"{_YET}. Use --sdpa and --gradient_checkpointing to save time and memory.",
        "torch_compile", "dynamo_backend", "full_bf16", "fp8_base", "lowram", "highvram", "fused_backward_pass",
    ),
    **_of(
        f"{_YET}. Leave it out: several processes started by accelerate launch train with its defaults.",
        "ddp_timeout", "ddp_gradient_as_bucket_view", "ddp_static_graph", "deepspeed", "zero_stage",
        "offload_optimizer_device", "offload_optimizer_nvme_path", "offload_param_device", "offload_param_nvme_path",
        "zero3_init_flag", "zero3_save_16bit_model", "fp16_master_weights_and_gradients",
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
