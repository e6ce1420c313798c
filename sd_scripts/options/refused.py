"""Flags of sd-scripts that a script of ours does not have, each with the sentence that a user gets instead.

The sentence goes on from the flag's name: "--tokenizer_cache_dir is not needed: ...".
"""

_FINE_TUNE = {
    "tokenizer_cache_dir": "is not needed: the tokenizer comes with this program. Leave it out.",
}

_LATER = "is not built yet. Leave it out."

_TRAIN_NETWORK = {
    **_FINE_TUNE,
    "validation_seed": _LATER,
    "validation_split": _LATER,
    "validate_every_n_steps": _LATER,
    "validate_every_n_epochs": _LATER,
    "max_validation_steps": _LATER,
}

REFUSED: dict[str, dict[str, str]] = {"fine_tune": _FINE_TUNE, "train_network": _TRAIN_NETWORK}
