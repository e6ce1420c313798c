"""Flags of sd-scripts that a script of ours does not have, each with the sentence that a user gets instead.

The sentence goes on from the flag's name: "--tokenizer_cache_dir is not needed: ...".
"""

from sd_scripts.options import refused_caching

_FINE_TUNE = {
    "tokenizer_cache_dir": "is not needed: the tokenizer comes with this program. Leave it out.",
}

_SDXL = {
    "v2": "is for Stable Diffusion 2, which programs without sdxl_ in their names train. Leave it out.",
    "clip_skip": "has no place here: SDXL reads its text encoders' last but one layers by itself. Leave it out.",
}

_CONTROL = "belongs to ControlNet, and none is trained here. Leave it out."
_LOT = "changes by lot the noise that pictures begin with, so none could be compared. Leave it out."
_WINDOW = "is for a window on the screen; pictures are shown in the page, and written into --outdir. Leave it out."
_OTHER_WAY = "is another way of drawing than the one that training's samples show. Leave it out."
_UPSCALER = "is not needed: pictures are enlarged by Lanczos, or with --highres_fix_latents_upscaling. Leave it out."
_GEN_IMG = {
    "pyramid_noise_prob": _LOT,
    "pyramid_noise_discount_range": _LOT,
    "noise_offset_prob": _LOT,
    "noise_offset_range": _LOT,
    "from_module": "would run another program's code. Write its prompts into a file, and name it with --from_file.",
    "prompter_module_args": "belongs to --from_module, which is not taken. Leave it out.",
    "interactive": _WINDOW,
    "no_preview": _WINDOW,
    "vae_slices": "would change the picture: a VAE sees it whole in training. Use --vae_batch_size 1 or --bf16.",
    "tokenizer_cache_dir": "is not needed: the tokenizer comes with this program. Leave it out.",
    "network_pre_calc": "is not needed: --network_merge is as fast, and without it strengths change at once.",
    "network_regional_mask_max_color_codes": _OTHER_WAY,
    "emb_normalize_mode": "has one way here, as in training: weights leave the mean of a text as it was. Leave it out.",
    "guide_image_path": _CONTROL,
    "highres_fix_upscaler": _UPSCALER,
    "highres_fix_upscaler_args": _UPSCALER,
    "highres_fix_disable_control_net": _CONTROL,
    "control_net_lllite_models": _CONTROL,
    "control_net_models": _CONTROL,
    "control_net_preps": _CONTROL,
    "control_net_multipliers": _CONTROL,
    "control_net_ratios": _CONTROL,
    "clip_vision_strength": _OTHER_WAY,
    **dict.fromkeys(("ds_depth_1", "ds_timesteps_1", "ds_depth_2", "ds_timesteps_2", "ds_ratio"), _OTHER_WAY),
    **dict.fromkeys(
        (
            "gradual_latent_timesteps",
            "gradual_latent_ratio",
            "gradual_latent_ratio_step",
            "gradual_latent_every_n_steps",
            "gradual_latent_s_noise",
            "gradual_latent_unsharp_params",
        ),
        _OTHER_WAY,
    ),
}
_SDXL_INVERSION = {name: _SDXL[name] for name in ("v2", "clip_skip")}

REFUSED: dict[str, dict[str, str]] = {
    "fine_tune": _FINE_TUNE,
    "train_textual_inversion": _FINE_TUNE,
    "sdxl_train_textual_inversion": _FINE_TUNE | _SDXL_INVERSION,
    "train_network": _FINE_TUNE,
    "sdxl_train": _FINE_TUNE | _SDXL,
    "sdxl_train_network": _FINE_TUNE | _SDXL,
    "train_db": _FINE_TUNE,
    "cache_latents": refused_caching.LATENTS,
    "cache_text_encoder_outputs": refused_caching.TEXTS,
    "gen_img": _GEN_IMG,
}
