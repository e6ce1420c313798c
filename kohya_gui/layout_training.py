"""Where the options of trainings stand: one home for each, and the essentials of each method.

A training's form takes what its script has; the rest is not drawn. A new option gets a home here, a new stage nothing.
"""

from kohya_gui.places import NEVER, Layout, Places, Rule, absent, all_of, any_of, given, one_of
from kohya_gui.stages import STAGES, Stage
from sd_scripts.options.noise import HUBER_LOSSES, HUBER_SCALED
from sd_scripts.options.optimizer import SCHEDULES
from sd_scripts.options.spec import OptionSpec, option_specs

_LENGTH = "max_train_epochs max_train_steps train_batch_size gradient_checkpointing"
_LEARNING = "learning_rate optimizer_type lr_scheduler train_text_encoder"
_SHORT = "max_train_epochs train_batch_size learning_rate optimizer_type"
_SAVING = "mixed_precision save_every_n_epochs sample_every_n_epochs"

ESSENTIALS: dict[str, Places] = {
    "full": {
        "model_and_data": "pretrained_model_name_or_path in_json output_name",
        "length_and_memory": _LENGTH,
        "learning": _LEARNING,
        "precision_and_saving": _SAVING,
    },
    "dreambooth": {
        "model_and_data": "pretrained_model_name_or_path train_data_dir reg_data_dir output_name",
        "length_and_memory": f"resolution {_LENGTH}",
        "learning": f"{_LEARNING} stop_text_encoder_training",
        "precision_and_saving": _SAVING,
    },
    "lora": {
        "model_and_data": "pretrained_model_name_or_path train_data_dir in_json output_name",
        "network": "network_module network_dim network_alpha resolution",
        "length_and_learning": _SHORT,
        "precision_and_saving": _SAVING,
    },
    "inversion": {
        "model_and_data": "pretrained_model_name_or_path train_data_dir in_json output_name",
        "token": "token_string init_word num_vectors_per_token resolution use_object_template use_style_template",
        "length_and_learning": _SHORT,
        "precision_and_saving": _SAVING,
    },
    "hypernetwork": {
        "model_and_data": "pretrained_model_name_or_path train_data_dir in_json output_name",
        "hypernetwork": "layer_structure activation layer_norm resolution",
        "length_and_learning": _SHORT,
        "precision_and_saving": _SAVING,
    },
}
"""What is always open, by method; elsewhere these options stand in their sections."""

_ABOUT = (
    "metadata_title metadata_author metadata_license metadata_description metadata_thumbnail metadata_tags"
    " metadata_trigger_phrase metadata_usage_hint metadata_merged_from metadata_preprocessor"
    " metadata_is_negative_embedding"
)

_HYPERNETWORK = (
    "layer_structure activation layer_norm initialisation enable_sizes use_dropout last_layer_dropout dropout_structure"
)

SECTIONS: Places = {
    "model": "pretrained_model_name_or_path v2 v_parameterization vae clip_skip max_token_length no_half_vae"
    " disable_mmap_load_safetensors",
    "data": "in_json train_data_dir reg_data_dir prior_loss_weight dataset_repeats resolution dataset_config"
    " caption_extension cache_info dataset_class debug_dataset",
    "captions": "shuffle_caption keep_tokens keep_tokens_separator caption_separator secondary_separator"
    " enable_wildcard weighted_captions no_token_padding caption_prefix caption_suffix caption_dropout_rate"
    " caption_dropout_every_n_epochs caption_tag_dropout_rate token_warmup_step token_warmup_min",
    "pictures": "flip_aug color_aug random_crop face_crop_aug_range resize_interpolation alpha_mask masked_loss"
    " conditioning_data_dir",
    "buckets": "enable_bucket min_bucket_reso max_bucket_reso bucket_reso_steps bucket_no_upscale"
    " cache_latents cache_latents_to_disk skip_cache_check verify_cache vae_batch_size"
    " cache_text_encoder_outputs cache_text_encoder_outputs_to_disk",
    "steps": "max_train_epochs max_train_steps train_batch_size gradient_accumulation_steps seed",
    "network_more": "network_weights dim_from_weights network_dropout network_args scale_weight_norms"
    " network_train_unet_only network_train_text_encoder_only base_weights base_weights_multiplier",
    "hypernetwork_more": f"hypernetwork_weights {_HYPERNETWORK} hypernetwork_strength",
    "learning_rate": "learning_rate unet_lr text_encoder_lr learning_rate_te learning_rate_te1 learning_rate_te2"
    " block_lr lr_scheduler lr_warmup_steps lr_decay_steps lr_scheduler_num_cycles lr_scheduler_power"
    " lr_scheduler_timescale lr_scheduler_min_lr_ratio lr_scheduler_type lr_scheduler_args"
    " stop_text_encoder_training",
    "optimizer": "optimizer_type optimizer_args max_grad_norm use_8bit_adam use_lion_optimizer",
    "noise": "noise_offset noise_offset_random_strength adaptive_noise_scale multires_noise_iterations"
    " multires_noise_discount ip_noise_gamma ip_noise_gamma_random_strength zero_terminal_snr min_timestep"
    " max_timestep",
    "loss": "loss_type huber_schedule huber_c huber_scale min_snr_gamma debiased_estimation_loss"
    " scale_v_pred_loss_like_noise_pred v_pred_like_loss",
    "validation": "validation_split validate_every_n_epochs validate_every_n_steps max_validation_steps validation_seed"
    " keep_best early_stop ema_decay ema_on_cpu",
    "memory": "mixed_precision gradient_checkpointing gradient_checkpointing_levels full_fp16 full_bf16"
    " stochastic_rounding fp8_base fp8_base_unet base_bits cpu_offload_checkpointing fused_backward_pass"
    " fused_optimizer_groups on_oom lowram highvram sdpa xformers mem_eff_attn diffusers_xformers opt_channels_last"
    " torch_compile dynamo_backend compile_mode compile_dynamic compile_cache_size_limit max_data_loader_n_workers"
    " persistent_data_loader_workers",
    "several_gpus": "gpu_ids num_processes main_process_port num_cpu_threads_per_process num_machines machine_rank"
    " main_process_ip ddp_timeout ddp_gradient_as_bucket_view ddp_static_graph deepspeed zero_stage"
    " offload_optimizer_device offload_optimizer_nvme_path offload_param_device offload_param_nvme_path"
    " zero3_init_flag zero3_save_16bit_model fp16_master_weights_and_gradients",
    "saving": "output_dir fallback_dir save_model_as use_safetensors save_precision save_every_n_epochs"
    " save_every_n_steps save_n_epoch_ratio save_last_n_epochs save_last_n_steps config_file output_config",
    "resume": "save_state save_state_on_train_end save_last_n_epochs_state save_last_n_steps_state on_nonfinite resume"
    " branch weights resume_from_huggingface initial_epoch initial_step skip_until_initial_step",
    "upload": "huggingface_repo_id huggingface_path_in_repo huggingface_repo_visibility huggingface_repo_type"
    " save_state_to_huggingface async_upload huggingface_token",
    "samples": "sample_every_n_epochs sample_every_n_steps sample_at_first sample_prompts sample_sampler",
    "logging": "logging_dir log_with log_prefix log_tracker_name log_tracker_config log_config wandb_run_name"
    " wandb_api_key console_log_level console_log_file console_log_simple",
    "about": f"{_ABOUT} no_metadata training_comment",
}
"""The home of every option of every training, by topic."""


def _scheduled_by(flag: str) -> Rule:
    """The chosen schedule reads this option."""
    return one_of("lr_scheduler", *(name for name, flags in SCHEDULES.items() if flag in flags))


# Captions are taken apart, so parts of them can be kept.
_ARRANGED = any_of(given("shuffle_caption"), given("caption_tag_dropout_rate"), given("token_warmup_step"))
# Pictures may differ each time they are shown.
_UNCACHED = all_of(absent("cache_latents"), absent("cache_latents_to_disk"))
_FOLDERS = any_of(given("dataset_config"), absent("in_json"))
_HALF = one_of("mixed_precision", "fp16", "bf16")
_LIMITED = all_of(given("enable_bucket"), absent("bucket_no_upscale"))
_HUBER = one_of("loss_type", *HUBER_LOSSES)
_ZERO3 = all_of(given("deepspeed"), one_of("zero_stage", "3"))
_BY_EPOCHS = any_of(given("save_every_n_epochs"), given("save_n_epoch_ratio"))
_LOGGED = any_of(given("logging_dir"), given("log_with"))
# Only these files have a header that says what they are.
_HEADED = any_of(one_of("save_model_as", "", "safetensors"), given("use_safetensors"))

SHOWN: dict[str, Rule] = {
    # Models of SD1 that predict velocity are rare: a finding about such a file shows it too.
    "v_parameterization": given("v2"),
    "conditioning_data_dir": given("masked_loss"),
    "clip_skip": absent("v2"),
    "no_half_vae": _HALF,
    "dataset_class": absent("dataset_config"),
    "reg_data_dir": absent("in_json"),
    "prior_loss_weight": given("reg_data_dir"),
    **dict.fromkeys(("keep_tokens", "keep_tokens_separator"), _ARRANGED),
    "token_warmup_min": given("token_warmup_step"),
    **dict.fromkeys(("color_aug", "random_crop", "face_crop_aug_range"), _UNCACHED),
    **dict.fromkeys(("min_bucket_reso", "max_bucket_reso"), _LIMITED),
    **dict.fromkeys(("bucket_reso_steps", "bucket_no_upscale"), given("enable_bucket")),
    **dict.fromkeys(("caption_extension", "cache_info"), _FOLDERS),
    "vae_batch_size": any_of(given("cache_latents"), given("cache_latents_to_disk")),
    **dict.fromkeys(
        ("learning_rate_te", "learning_rate_te1", "learning_rate_te2", "stop_text_encoder_training"),
        given("train_text_encoder"),
    ),
    **{
        flag: _scheduled_by(flag)
        for flag in (
            "lr_warmup_steps",
            "lr_decay_steps",
            "lr_scheduler_num_cycles",
            "lr_scheduler_power",
            "lr_scheduler_timescale",
            "lr_scheduler_min_lr_ratio",
        )
    },
    "lr_scheduler_args": any_of(given("lr_scheduler_type"), _scheduled_by("lr_scheduler_args")),
    "dim_from_weights": given("network_weights"),
    # A file to go on from has these of its own.
    **dict.fromkeys(_HYPERNETWORK.split(), absent("hypernetwork_weights")),
    "last_layer_dropout": all_of(given("use_dropout"), absent("hypernetwork_weights")),
    "base_weights_multiplier": given("base_weights"),
    **dict.fromkeys(("noise_offset_random_strength", "adaptive_noise_scale"), given("noise_offset")),
    "multires_noise_discount": given("multires_noise_iterations"),
    "ip_noise_gamma_random_strength": given("ip_noise_gamma"),
    "zero_terminal_snr": given("v_parameterization"),
    **dict.fromkeys(("huber_schedule", "huber_c"), _HUBER),
    "huber_scale": all_of(_HUBER, one_of("huber_schedule", *HUBER_SCALED)),
    "scale_v_pred_loss_like_noise_pred": given("v_parameterization"),
    "v_pred_like_loss": absent("v_parameterization"),
    "full_fp16": one_of("mixed_precision", "fp16"),
    "full_bf16": one_of("mixed_precision", "bf16"),
    # Only what is not trained is held in 8 bits.
    "fp8_base": all_of(_HALF, absent("train_text_encoder")),
    "fp8_base_unet": _HALF,
    "base_bits": all_of(absent("fp8_base"), absent("fp8_base_unet")),
    # A --dataset_config may hold out pictures of its own.
    **dict.fromkeys(
        (
            "validate_every_n_epochs",
            "validate_every_n_steps",
            "max_validation_steps",
            "validation_seed",
            "keep_best",
            "early_stop",
        ),
        any_of(given("validation_split"), given("dataset_config")),
    ),
    "ema_on_cpu": given("ema_decay"),
    "stochastic_rounding": given("full_bf16"),
    **dict.fromkeys(("cpu_offload_checkpointing", "gradient_checkpointing_levels"), given("gradient_checkpointing")),
    "opt_channels_last": absent("deepspeed"),
    "fused_backward_pass": absent("deepspeed"),
    # Steps that are made while gradients come cannot be done again.
    "on_oom": all_of(absent("fused_backward_pass"), absent("fused_optimizer_groups"), absent("deepspeed")),
    "fused_optimizer_groups": absent("fused_backward_pass"),
    **dict.fromkeys(("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk"), absent("train_text_encoder")),
    "persistent_data_loader_workers": given("max_data_loader_n_workers"),
    **dict.fromkeys(
        ("dynamo_backend", "compile_mode", "compile_dynamic", "compile_cache_size_limit"), given("torch_compile")
    ),
    **dict.fromkeys(("ddp_gradient_as_bucket_view", "ddp_static_graph"), absent("deepspeed")),
    **dict.fromkeys(("zero_stage", "offload_optimizer_device"), given("deepspeed")),
    "offload_optimizer_nvme_path": one_of("offload_optimizer_device", "nvme"),
    "offload_param_nvme_path": one_of("offload_param_device", "nvme"),
    **dict.fromkeys(("offload_param_device", "zero3_init_flag", "zero3_save_16bit_model"), _ZERO3),
    "fp16_master_weights_and_gradients": one_of("offload_optimizer_device", "cpu"),
    # Presets are the page's way to keep options.
    **dict.fromkeys(("config_file", "output_config"), NEVER),
    **dict.fromkeys(("use_8bit_adam", "use_lion_optimizer", "use_safetensors"), NEVER),
    "save_last_n_epochs": _BY_EPOCHS,
    "save_last_n_steps": given("save_every_n_steps"),
    "save_last_n_epochs_state": all_of(given("save_state"), _BY_EPOCHS),
    "save_last_n_steps_state": all_of(given("save_state"), given("save_every_n_steps")),
    "skip_until_initial_step": any_of(given("initial_epoch"), given("initial_step")),
    "sample_sampler": given("sample_prompts"),
    "resume_from_huggingface": given("resume"),
    **dict.fromkeys(
        (
            "huggingface_path_in_repo",
            "huggingface_repo_visibility",
            "huggingface_repo_type",
            "save_state_to_huggingface",
            "async_upload",
        ),
        given("huggingface_repo_id"),
    ),
    **dict.fromkeys(("log_prefix", "log_tracker_name", "log_tracker_config", "log_config"), _LOGGED),
    "wandb_run_name": one_of("log_with", "wandb", "all"),
    # The page keeps no secrets: it says where these are taken from.
    **dict.fromkeys(("huggingface_token", "wandb_api_key"), NEVER),
    **dict.fromkeys(_ABOUT.split(), _HEADED),
    "training_comment": all_of(_HEADED, absent("no_metadata")),
    # Only embeddings can be negative ones.
    "metadata_is_negative_embedding": NEVER,
}
"""When an option is shown; what is not here always is. A rule about an option that a script lacks hides nothing."""

SHOWN_OF_METHOD: dict[str, dict[str, Rule]] = {
    "inversion": {
        "metadata_is_negative_embedding": _HEADED,
        "init_word": absent("weights"),
        # What a text encoder makes of captions changes while it learns a word.
        **dict.fromkeys(("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk"), NEVER),
    },
}
"""Where a method differs."""

SHOWN_OF_STAGE: dict[str, dict[str, Rule]] = {
    # It takes folders in a dataset file only.
    "train": dict.fromkeys(("caption_extension", "cache_info"), given("dataset_config")),
}
"""Where a stage differs."""


def layout_of(stage: Stage) -> Layout:
    """The layout of a training: of all homes those of its own options."""
    specs = option_specs(stage.options)
    groups = _own(ESSENTIALS[stage.method or ""], set(specs))
    essential = {flag for line in groups.values() for flag in line.split()}
    sections = _own(SECTIONS, specs.keys() - essential)
    rules = {**SHOWN, **SHOWN_OF_METHOD.get(stage.method or "", {}), **SHOWN_OF_STAGE.get(stage.id, {})}
    pruned = {flag: _pruned(rule, specs) for flag, rule in rules.items() if flag in specs}
    return Layout(groups, sections, {flag: rule for flag, rule in pruned.items() if rule})


def _own(places: Places, flags: set[str]) -> Places:
    """The places with these flags only; without those that stay empty."""
    lines = {name: " ".join(flag for flag in line.split() if flag in flags) for name, line in places.items()}
    return {name: line for name, line in lines.items() if line}


def _pruned(rule: Rule, specs: dict[str, OptionSpec]) -> Rule | None:
    """A rule without what speaks of options, or of choices, that are not there; None where nothing is left of it."""
    for kind in ("any", "all"):
        if kind in rule:
            parts = [part for one in rule[kind] if (part := _pruned(one, specs))]
            return {kind: parts} if len(parts) > 1 else (parts[0] if parts else None)
    if "flag" in rule and rule["flag"] not in specs:
        return None
    if "is" in rule and (spec := specs[rule["flag"]]).choices:
        known = {str(choice) for choice in spec.choices} | ({""} if spec.optional else set())
        return {**rule, "is": [value for value in rule["is"] if value in known]}
    return rule


TRAINING_LAYOUTS: dict[str, Layout] = {stage.id: layout_of(stage) for stage in STAGES.values() if stage.trains}
