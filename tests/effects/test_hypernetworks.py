"""Effects of the options of hypernetworks; what train_hypernetwork.py shares with others is proven there."""

from typing import Any

from tests.effects.check import checked
from tests.effects.effect import Effect, Field, unlike

DEEP = {"layer_structure": [1, 2, 2, 1]}
DROPPED = {"use_dropout": True, "learning_rate": 1e-2}


def hyper(flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    return unlike("train_hypernetwork", flag, value, *seen_in, **given)


ROWS = [
    hyper("hypernetwork_weights", "{here}/hypernetwork/X.safetensors", "weights", "losses", "said", "header"),
    hyper("enable_sizes", [16], "weights", "said"),
    hyper("layer_structure", [1, 3, 1], "weights", "header"),
    hyper("activation", "relu", "weights", "header"),
    hyper("layer_norm", True, "weights", "header"),
    hyper("initialisation", "XavierNormal", "weights", "losses", "header"),
    hyper("use_dropout", True, "weights", "header", **DEEP),
    hyper("last_layer_dropout", True, "weights", "header", **DROPPED),
    hyper("dropout_structure", [0, 0.5, 0], "weights", "header"),
    hyper("hypernetwork_strength", 0.5, "weights", "losses", initialisation="XavierNormal"),
    hyper("save_model_as", "pt", "files"),
]

test_it_changes_what_it_should = checked(ROWS)
