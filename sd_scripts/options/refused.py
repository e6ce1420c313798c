"""Flags of sd-scripts that a script of ours does not have, each with the sentence that a user gets instead.

The sentence goes on from the flag's name: "--tokenizer_cache_dir is not needed: ...".
"""

from sd_scripts.options import refused_caching

_FINE_TUNE = {
    "tokenizer_cache_dir": "is not needed: the tokenizer comes with this program. Leave it out.",
}

_SDXL = {
    "v2": "is for Stable Diffusion 2, and this script trains SDXL. Leave it out.",
    "clip_skip": "has no place here: SDXL reads its text encoders' last but one layers by itself. Leave it out.",
}

REFUSED: dict[str, dict[str, str]] = {
    "fine_tune": _FINE_TUNE,
    "train_network": _FINE_TUNE,
    "sdxl_train": _FINE_TUNE | _SDXL,
    "sdxl_train_network": _FINE_TUNE | _SDXL,
    "train_db": _FINE_TUNE,
    "cache_latents": refused_caching.LATENTS,
    "cache_text_encoder_outputs": refused_caching.TEXTS,
}
