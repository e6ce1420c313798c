"""Tensor names of Stable Diffusion files: the original layout, and that of diffusers and transformers. Needs no torch
to be named; the functions that split or reshape tensors call methods of what they are given."""

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = {
    "sd1": "cond_stage_model.transformer.",
    "sd2": "cond_stage_model.model.",
    "sdxl1": "conditioner.embedders.0.transformer.",
    "sdxl2": "conditioner.embedders.1.model.",
}
EMA_PREFIX = "model_ema."
