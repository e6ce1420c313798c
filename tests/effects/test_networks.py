"""Effects of the options of networks; what train_network.py shares with fine_tune.py is proven there."""

from tests.effects.check import checked
from tests.effects.effect import Effect, adapted

FILE = "{here}/network/X.safetensors"
FROM_FILE = {"network_weights": FILE}
LATE = {"max_train_steps": 4, "initial_step": 3}

NETWORK = [
    adapted("network_module", "tests.networks.foreign", "weights", "header", "said"),
    adapted("network_dim", 8, "weights", "header"),
    adapted("network_alpha", 4.0, "weights", "header"),
    adapted("network_dropout", 0.5, "weights", "header", "losses"),
    adapted("network_args", ["conv_dim=2"], "weights", "header", "said"),
    adapted("network_args", ["dora_wd=True"], "weights", "header", "said"),
    adapted("network_weights", FILE, "weights", "losses", "said", network_dim=2),
    adapted("dim_from_weights", True, "weights", "error", **FROM_FILE),
    adapted("unet_lr", 1e-2, "weights", "rates", "header"),
    adapted("text_encoder_lr", [1e-2], "weights", "rates", "header"),
    adapted("network_train_unet_only", True, "weights", "rates", "said"),
    adapted("network_train_text_encoder_only", True, "weights", "rates", "said"),
    adapted("scale_weight_norms", 1e-3, "weights", "header", "logged", logging_dir="{here}/logs"),
]

BASE = [
    adapted("base_weights", [FILE], "losses", "weights", "said"),
    adapted("base_weights_multiplier", [0.5], "weights", "said", base_weights=[FILE]),
    adapted("fp8_base_unet", True, "losses", "weights", "header", mixed_precision="bf16"),
    adapted("base_bits", 4, "losses", "weights"),
    Effect(
        "cpu_offload_checkpointing",
        True,
        ("said",),
        {"gradient_checkpointing": True},
        unseen_in=("losses", "weights"),
        says="--cpu_offload_checkpointing has no effect: there is no GPU.",
        script="train_network.py",
    ),
]

START = [
    adapted("initial_epoch", 2, "losses", "said", max_train_steps=4),
    adapted("initial_step", 2, "losses", "said", max_train_steps=4),
    adapted("skip_until_initial_step", True, "losses", **LATE),
]

FOLDERS = {"in_json": None, "train_data_dir": "{here}/learnt"}
KEPT = FOLDERS | {"reg_data_dir": "{here}/kept"}
DATA = [
    adapted("train_data_dir", "{here}/learnt", "losses", "header", "said", in_json=None),
    adapted("reg_data_dir", "{here}/kept", "losses", "header", "said", **FOLDERS),
    adapted("prior_loss_weight", 0.5, "losses", "weights", **KEPT),
]

FILES = [
    adapted("save_model_as", "pt", "files"),
    adapted("no_metadata", True, "header"),
    adapted("training_comment", "for the wall", "header"),
]

ROWS = [*NETWORK, *BASE, *START, *DATA, *FILES]

test_it_changes_what_it_should = checked(ROWS)
