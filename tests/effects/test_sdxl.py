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
    same("disable_mmap_load_safetensors", says="read as a whole"),
]

test_it_changes_what_it_should = checked(ROWS)
