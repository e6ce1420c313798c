"""Effects of the options of train_db.py and sdxl_train_network.py that other trainings have not, or otherwise."""

from pathlib import Path

from tests.effects.check import checked
from tests.effects.effect import Effect, adapted, seen, unlike

STRENGTHS = str(Path(__file__).with_name("strengths.toml"))
DB, XL = "train_db", "sdxl_train_network"
KEPT = {"reg_data_dir": "{here}/kept", "train_batch_size": 1}
STOP = "stop_text_encoder_training"

ROWS = [
    seen(STOP, 1, "weights", "rates", train_text_encoder=True),
    unlike(DB, STOP, 0, "weights", "rates"),
    unlike(DB, "train_data_dir", "{here}/kept", "losses", "header", "said"),
    unlike(DB, "reg_data_dir", "{here}/kept", "losses", "header", "said"),
    unlike(DB, "prior_loss_weight", 0.5, "losses", "weights", **KEPT),
    unlike(DB, "no_token_padding", True, "losses", "weights"),
    Effect("cache_text_encoder_outputs", True, ("error",), says=f"needs --{STOP} 0", script=f"{DB}.py"),
    unlike(XL, "text_encoder_lr", [1e-3, 0.0], "weights", "rates", "header", "said"),
    unlike(XL, STOP, 1, "weights", "rates"),
    unlike(XL, "cache_text_encoder_outputs_to_disk", True, "files", "said", network_train_unet_only=True),
    unlike("sdxl_train", "train_data_dir", "{here}/learnt", "losses", "header", "said", in_json=None),
    adapted("dataset_config", STRENGTHS, "losses", "header", "said"),
]

test_it_changes_what_it_should = checked(ROWS)
