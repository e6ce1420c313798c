"""What of a form is of the work at hand, not of a way to train: it stays when that changes.

Two questions: what is typed into one training and so into all of them (STAYS), and what no preset of ours takes back
(NAMES, and every path). An option that stands in neither is of one training alone.
"""

from kohya_gui.launching import FIELDS
from kohya_gui.places import Places

STAYS: Places = {
    "model": "pretrained_model_name_or_path v2 v_parameterization vae clip_skip max_token_length",
    "data": "in_json train_data_dir reg_data_dir dataset_repeats dataset_config dataset_class caption_extension",
    "captions": "shuffle_caption keep_tokens keep_tokens_separator caption_separator secondary_separator"
    " enable_wildcard weighted_captions no_token_padding caption_prefix caption_suffix caption_dropout_rate"
    " caption_dropout_every_n_epochs caption_tag_dropout_rate token_warmup_step token_warmup_min"
    " token_string init_word use_object_template use_style_template",
    "pictures": "flip_aug color_aug random_crop face_crop_aug_range resize_interpolation alpha_mask masked_loss"
    " conditioning_data_dir",
    "buckets": "resolution enable_bucket min_bucket_reso max_bucket_reso bucket_reso_steps bucket_no_upscale",
    "steps": "seed",
    "saving": "output_name output_dir fallback_dir save_model_as use_safetensors save_precision save_every_n_epochs"
    " save_every_n_steps save_n_epoch_ratio save_last_n_epochs save_last_n_steps save_state save_state_on_train_end"
    " save_last_n_epochs_state save_last_n_steps_state",
    "upload": "huggingface_repo_id huggingface_path_in_repo huggingface_repo_visibility huggingface_repo_type"
    " save_state_to_huggingface async_upload",
    "samples": "sample_every_n_epochs sample_every_n_steps sample_at_first sample_prompts sample_sampler"
    " sample_batch_size",
    "logging": "logging_dir log_with log_prefix log_tracker_name log_tracker_config log_config wandb_run_name"
    " console_log_level console_log_file console_log_simple",
    "about": "metadata_title metadata_author metadata_license metadata_description metadata_thumbnail metadata_tags"
    " metadata_trigger_phrase metadata_usage_hint metadata_merged_from metadata_preprocessor"
    " metadata_is_negative_embedding no_metadata training_comment",
    "several_gpus": f"{FIELDS} ddp_timeout",
}
"""Typed into one training, these are typed into all that have them, by topic. Rates, steps, batches, precision, memory
and speed are not: what suits a LoRA spoils a whole model. Nor is a state to go on from, which is of one training."""

NAMES = (
    "output_name token_string init_word caption_extension huggingface_repo_id huggingface_path_in_repo log_prefix"
    f" log_tracker_name wandb_run_name {STAYS['about']}"
)
"""Names of the user's own, which a preset of ours leaves as they are, as it does every path."""
