"""Where each option stands in its stage's form, and when it is shown: data, no code.

A stage has groups of essentials, always open, and sections, folded. Every flag of the stage's options class stands in
exactly one of them (tests/gui_page/test_layout.py). Names are keys of the locales.
"""

from dataclasses import dataclass, field
from typing import Any

from sd_scripts.options.noise import HUBER_LOSSES, HUBER_SCALED
from sd_scripts.options.optimizer import OPTIMIZER_GROUPS, SCHEDULES

Rule = dict[str, Any]
Places = dict[str, str]


@dataclass(frozen=True)
class Layout:
    """One form. Flags are separated by spaces; `shown` hides an option until its rule holds or it was changed."""

    groups: Places
    sections: Places
    shown: dict[str, Rule] = field(default_factory=dict)


NEVER: Rule = {"never": True}
"""Only there for older commands: drawn when it has a value."""


def given(flag: str) -> Rule:
    """The other option is on, or has a value other than 0."""
    return {"flag": flag, "given": True}


def absent(flag: str) -> Rule:
    """The other option is off, empty or 0."""
    return {"flag": flag, "given": False}


def one_of(flag: str, *values: str) -> Rule:
    """The other option has one of these values."""
    return {"flag": flag, "is": list(values)}


def any_of(*rules: Rule) -> Rule:
    """At least one of the rules holds."""
    return {"any": list(rules)}


def all_of(*rules: Rule) -> Rule:
    """All of the rules hold."""
    return {"all": list(rules)}


_ARRANGED = any_of(given("shuffle_caption"), given("caption_tag_dropout_rate"), given("token_warmup_step"))
"""Captions are taken apart, so parts of them can be kept."""


_UNCACHED = all_of(absent("cache_latents"), absent("cache_latents_to_disk"))
"""Pictures may differ each time they are shown."""


def scheduled_by(flag: str) -> Rule:
    """The chosen schedule reads this option."""
    return one_of("lr_scheduler", *(name for name, flags in SCHEDULES.items() if flag in flags))


MERGE = Layout(
    groups={"merge": "train_data_dir in_json out_json caption_extension full_path"},
    sections={"more": "recursive debug"},
)

_HALF = one_of("mixed_precision", "fp16", "bf16")
_LIMITED = all_of(given("enable_bucket"), absent("bucket_no_upscale"))
_ZERO3 = all_of(given("deepspeed"), one_of("zero_stage", "3"))
_BY_EPOCHS = any_of(given("save_every_n_epochs"), given("save_n_epoch_ratio"))
_LOGGED = any_of(given("logging_dir"), given("log_with"))
# Only these files have a header that says what they are.
_HEADED = any_of(one_of("save_model_as", "", "safetensors"), given("use_safetensors"))
_ABOUT = (
    "metadata_title metadata_author metadata_license metadata_description metadata_thumbnail metadata_tags"
    " metadata_trigger_phrase metadata_usage_hint metadata_merged_from metadata_preprocessor"
    " metadata_is_negative_embedding"
)

LAYOUTS: dict[str, Layout] = {
    "caption_blip": Layout(
        groups={
            "pictures_and_model": "train_data_dir caption_weights",
            "sentence": "batch_size beam_search max_length seed",
        },
        sections={
            "text": "num_beams top_p min_length",
            "files": "caption_extension recursive max_data_loader_n_workers debug",
        },
        shown={"num_beams": given("beam_search"), "top_p": absent("beam_search")},
    ),
    "caption_git": Layout(
        groups={
            "pictures_and_model": "train_data_dir model_id",
            "sentence": "batch_size max_length remove_words",
        },
        sections={"files": "caption_extension recursive max_data_loader_n_workers debug"},
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
            "files": "caption_extension output_path recursive model_dir force_download onnx max_data_loader_n_workers"
            " debug",
        },
        shown={"onnx": NEVER},
    ),
    "tag_deepdanbooru": Layout(
        groups={"pictures_and_model": "train_data_dir project_path", "tags": "threshold batch_size"},
        sections={
            "model": "model_path tags_path",
            "files": "caption_extension recursive max_data_loader_n_workers debug",
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
            " resize_interpolation",
            "files": "full_path recursive max_data_loader_n_workers",
        },
        shown={"min_bucket_reso": absent("bucket_no_upscale"), "max_bucket_reso": absent("bucket_no_upscale")},
    ),
    "train": Layout(
        groups={
            "model_and_data": "pretrained_model_name_or_path in_json output_name",
            "length_and_memory": "max_train_epochs max_train_steps train_batch_size gradient_checkpointing",
            "learning": "learning_rate optimizer_type lr_scheduler train_text_encoder",
            "precision_and_saving": "mixed_precision save_every_n_epochs sample_every_n_epochs",
        },
        sections={
            "model": "v2 v_parameterization vae clip_skip max_token_length no_half_vae",
            "data": "train_data_dir dataset_repeats resolution dataset_config caption_extension cache_info"
            " dataset_class debug_dataset",
            "captions": "shuffle_caption keep_tokens keep_tokens_separator caption_separator secondary_separator"
            " enable_wildcard weighted_captions caption_prefix caption_suffix caption_dropout_rate"
            " caption_dropout_every_n_epochs caption_tag_dropout_rate token_warmup_step token_warmup_min",
            "pictures": "flip_aug color_aug random_crop face_crop_aug_range resize_interpolation alpha_mask masked_loss"
            " conditioning_data_dir",
            "buckets": "enable_bucket min_bucket_reso max_bucket_reso bucket_reso_steps bucket_no_upscale"
            " cache_latents cache_latents_to_disk skip_cache_check vae_batch_size"
            " cache_text_encoder_outputs cache_text_encoder_outputs_to_disk",
            "steps": "gradient_accumulation_steps seed",
            "learning_rate": "learning_rate_te stop_text_encoder_training lr_warmup_steps lr_decay_steps"
            " lr_scheduler_num_cycles lr_scheduler_power lr_scheduler_timescale lr_scheduler_min_lr_ratio"
            " lr_scheduler_type lr_scheduler_args",
            "optimizer": "optimizer_args max_grad_norm use_8bit_adam use_lion_optimizer",
            "noise": "noise_offset noise_offset_random_strength adaptive_noise_scale multires_noise_iterations"
            " multires_noise_discount ip_noise_gamma ip_noise_gamma_random_strength zero_terminal_snr min_timestep"
            " max_timestep",
            "loss": "loss_type huber_schedule huber_c huber_scale min_snr_gamma debiased_estimation_loss"
            " scale_v_pred_loss_like_noise_pred v_pred_like_loss",
            "memory": "full_fp16 full_bf16 fp8_base fused_backward_pass fused_optimizer_groups lowram highvram sdpa"
            " xformers mem_eff_attn diffusers_xformers torch_compile dynamo_backend max_data_loader_n_workers"
            " persistent_data_loader_workers",
            "several_gpus": "ddp_timeout ddp_gradient_as_bucket_view ddp_static_graph deepspeed zero_stage"
            " offload_optimizer_device offload_optimizer_nvme_path offload_param_device offload_param_nvme_path"
            " zero3_init_flag zero3_save_16bit_model fp16_master_weights_and_gradients",
            "saving": "output_dir save_model_as use_safetensors save_precision save_every_n_steps save_n_epoch_ratio"
            " save_last_n_epochs save_last_n_steps config_file output_config",
            "resume": "save_state save_state_on_train_end save_last_n_epochs_state save_last_n_steps_state resume"
            " resume_from_huggingface",
            "upload": "huggingface_repo_id huggingface_path_in_repo huggingface_repo_visibility huggingface_repo_type"
            " save_state_to_huggingface async_upload huggingface_token",
            "samples": "sample_every_n_steps sample_at_first sample_prompts sample_sampler",
            "logging": "logging_dir log_with log_prefix log_tracker_name log_tracker_config log_config wandb_run_name"
            " wandb_api_key console_log_level console_log_file console_log_simple",
            "about": _ABOUT,
        },
        shown={
            # Models of SD1 that predict velocity are rare: a finding about such a file shows it too.
            "v_parameterization": given("v2"),
            "conditioning_data_dir": given("masked_loss"),
            "clip_skip": absent("v2"),
            "no_half_vae": _HALF,
            "dataset_class": absent("dataset_config"),
            "keep_tokens": _ARRANGED,
            "keep_tokens_separator": _ARRANGED,
            "token_warmup_min": given("token_warmup_step"),
            "color_aug": _UNCACHED,
            "random_crop": _UNCACHED,
            "face_crop_aug_range": _UNCACHED,
            "min_bucket_reso": _LIMITED,
            "max_bucket_reso": _LIMITED,
            "bucket_reso_steps": given("enable_bucket"),
            "bucket_no_upscale": given("enable_bucket"),
            "caption_extension": given("dataset_config"),
            "cache_info": given("dataset_config"),
            "vae_batch_size": any_of(given("cache_latents"), given("cache_latents_to_disk")),
            "learning_rate_te": given("train_text_encoder"),
            "stop_text_encoder_training": given("train_text_encoder"),
            "lr_warmup_steps": scheduled_by("lr_warmup_steps"),
            "lr_decay_steps": scheduled_by("lr_decay_steps"),
            "lr_scheduler_num_cycles": scheduled_by("lr_scheduler_num_cycles"),
            "lr_scheduler_power": scheduled_by("lr_scheduler_power"),
            "lr_scheduler_timescale": scheduled_by("lr_scheduler_timescale"),
            "lr_scheduler_min_lr_ratio": scheduled_by("lr_scheduler_min_lr_ratio"),
            "lr_scheduler_args": any_of(given("lr_scheduler_type"), scheduled_by("lr_scheduler_args")),
            "noise_offset_random_strength": given("noise_offset"),
            "adaptive_noise_scale": given("noise_offset"),
            "multires_noise_discount": given("multires_noise_iterations"),
            "ip_noise_gamma_random_strength": given("ip_noise_gamma"),
            "zero_terminal_snr": given("v_parameterization"),
            "huber_schedule": one_of("loss_type", *HUBER_LOSSES),
            "huber_c": one_of("loss_type", *HUBER_LOSSES),
            "huber_scale": all_of(one_of("loss_type", *HUBER_LOSSES), one_of("huber_schedule", *HUBER_SCALED)),
            "scale_v_pred_loss_like_noise_pred": given("v_parameterization"),
            "v_pred_like_loss": absent("v_parameterization"),
            "full_fp16": one_of("mixed_precision", "fp16"),
            "full_bf16": one_of("mixed_precision", "bf16"),
            # Only what is not trained is held in 8 bits.
            "fp8_base": all_of(_HALF, absent("train_text_encoder")),
            "fused_backward_pass": absent("deepspeed"),
            "fused_optimizer_groups": absent("fused_backward_pass"),
            "cache_text_encoder_outputs": absent("train_text_encoder"),
            "cache_text_encoder_outputs_to_disk": absent("train_text_encoder"),
            "persistent_data_loader_workers": given("max_data_loader_n_workers"),
            "dynamo_backend": given("torch_compile"),
            "ddp_gradient_as_bucket_view": absent("deepspeed"),
            "ddp_static_graph": absent("deepspeed"),
            "zero_stage": given("deepspeed"),
            "offload_optimizer_device": given("deepspeed"),
            "offload_optimizer_nvme_path": one_of("offload_optimizer_device", "nvme"),
            "offload_param_device": _ZERO3,
            "offload_param_nvme_path": one_of("offload_param_device", "nvme"),
            "zero3_init_flag": _ZERO3,
            "zero3_save_16bit_model": _ZERO3,
            "fp16_master_weights_and_gradients": one_of("offload_optimizer_device", "cpu"),
            "use_8bit_adam": NEVER,
            "use_lion_optimizer": NEVER,
            "use_safetensors": NEVER,
            # Presets are the page's way to keep options.
            "config_file": NEVER,
            "output_config": NEVER,
            "save_last_n_epochs": _BY_EPOCHS,
            "save_last_n_steps": given("save_every_n_steps"),
            "save_last_n_epochs_state": all_of(given("save_state"), _BY_EPOCHS),
            "save_last_n_steps_state": all_of(given("save_state"), given("save_every_n_steps")),
            "sample_sampler": given("sample_prompts"),
            "resume_from_huggingface": given("resume"),
            "huggingface_path_in_repo": given("huggingface_repo_id"),
            "huggingface_repo_visibility": given("huggingface_repo_id"),
            "huggingface_repo_type": given("huggingface_repo_id"),
            "save_state_to_huggingface": given("huggingface_repo_id"),
            "async_upload": given("huggingface_repo_id"),
            # The page keeps no secrets: it says where the token is taken from.
            "huggingface_token": NEVER,
            **dict.fromkeys(("log_prefix", "log_tracker_name", "log_tracker_config", "log_config"), _LOGGED),
            "wandb_run_name": one_of("log_with", "wandb", "all"),
            # The page keeps no secrets: it says where the key is taken from.
            "wandb_api_key": NEVER,
            **dict.fromkeys(_ABOUT.split(), _HEADED),
            # Whole models are no embeddings.
            "metadata_is_negative_embedding": NEVER,
        },
    ),
}

WIDE = ("pretrained_model_name_or_path", "train_data_dir", "caption_weights", "model_id", "repo_id", "project_path",
        "model_name_or_path", "tag_replacement", "undesired_tags", "optimizer_args", "lr_scheduler_args",
        "sample_prompts", "dataset_config", "metadata_description")  # fmt: skip
"""Fields that take two columns."""

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
    "caption_extension": (".caption", ".txt"),
    "max_resolution": ("512,512", "640,640", "768,768"),
    "resolution": ("512,512", "640,640", "768,768"),
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
