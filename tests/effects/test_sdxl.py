"""Effects of the options of sdxl_train.py that fine_tune.py has not, or that reach other code there."""

from tests.effects.check import checked
from tests.effects.effect import Effect, unlike

SCRIPT = "sdxl_train"
TEXT = {"train_text_encoder": True}
LAST, HIGHER = (",".join(["0"] * 22 + [rate]) for rate in ("1e-3", "2e-3"))


def same(flag: str, *seen_in: str, says: str) -> Effect:
    """What is trained stays the same."""
    return Effect(flag, True, ("said", *seen_in), unseen_in=("losses", "weights"), says=says, script=f"{SCRIPT}.py")


def refused(flag: str, value: object, says: str, **given: object) -> Effect:
    """It says so before any work."""
    return Effect(flag, value, ("error",), given, says=says, script=f"{SCRIPT}.py")


ROWS = [
    unlike(SCRIPT, "v_parameterization", True, "losses", "header"),
    unlike(SCRIPT, "max_token_length", 150, "losses", "header"),
    unlike(SCRIPT, "learning_rate_te1", 1e-4, "weights", "rates", "header", **TEXT),
    unlike(SCRIPT, "learning_rate_te2", 0.0, "weights", "rates", "header", "said", **TEXT),
    unlike(SCRIPT, "block_lr", LAST, "weights", "rates", "header", "said"),
    refused("block_lr", "1e-5,1e-6", "--block_lr has 2 numbers, and the U-Net has 23 blocks"),
    refused("block_lr", "high", "write numbers with commas between"),
    refused("block_lr", HIGHER, "Prodigy takes one learning rate for everything", optimizer_type="Prodigy"),
    unlike(SCRIPT, "fused_optimizer_groups", 3, "weights"),
    refused("fused_optimizer_groups", 3, "Use one of them", fused_backward_pass=True),
    same("cache_text_encoder_outputs", says="Encoding 3 captions"),
    same("cache_text_encoder_outputs_to_disk", "files", says="Encoding the captions of 3 pictures"),
    refused("cache_text_encoder_outputs", True, "does not go with --train_text_encoder", **TEXT),
    refused("cache_text_encoder_outputs_to_disk", True, "another caption each time", shuffle_caption=True),
    same("disable_mmap_load_safetensors", says="read as a whole"),
]

test_it_changes_what_it_should = checked(ROWS)
