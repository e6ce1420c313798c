"""Flags of sd-scripts that a script of ours does not have, each with the sentence that a user gets instead.

The sentence goes on from the flag's name: "--tokenizer_cache_dir is not needed: ...".
"""

_FINE_TUNE = {
    "tokenizer_cache_dir": "is not needed: the tokenizer comes with this program. Leave it out.",
}

REFUSED: dict[str, dict[str, str]] = {"fine_tune": _FINE_TUNE}
