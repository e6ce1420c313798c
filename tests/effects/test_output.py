"""Effects of the options of what a training tells: logs, what a file's header says, the terminal."""

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

LOGGED = {"logging_dir": "{here}/logs"}
SAFE = {"save_model_as": "safetensors"}
ONE = {"in_json": "{here}/one.json", "max_train_steps": 1}
# wandb need not be installed here: what it is given is seen in tests/train/test_wandb.py.
IDLE = "has no effect without --log_with wandb."


def told(name: str, value: str = "meadows") -> Effect:
    """What the header says besides."""
    return Effect(f"metadata_{name}", value, ("header",), ONE, unseen_in=("losses", "weights"))


LOGGING = [
    refused("log_with", "all", "--log_with all needs --logging_dir"),
    seen("log_tracker_name", "mine", "files", **LOGGED),
    refused("log_tracker_config", "{here}/rules.toml", "is not known. Write [tensorboard] or [wandb]", **LOGGED),
    Effect("log_config", True, ("logged",), LOGGED, unseen_in=("losses",)),
    Effect("wandb_run_name", "first", ("said",), says=f"--wandb_run_name {IDLE}"),
    Effect("wandb_api_key", "key", ("said",), says=f"--wandb_api_key {IDLE}"),
]

ABOUT = [
    told("title"),
    told("author"),
    told("description"),
    told("license"),
    told("tags"),
    told("usage_hint"),
    told("thumbnail", "{here}/pictures/a.png"),
    told("merged_from"),
    told("trigger_phrase"),
    told("preprocessor"),
    told("is_negative_embedding", "true"),
    Effect("metadata_title", "meadows", ("said",), {"save_model_as": "ckpt"}, says="Not written: --metadata_title."),
]

CONSOLE = [
    Effect("console_log_level", "WARNING", ("said",), unseen_in=("losses",)),
    Effect("console_log_file", "{here}/said.log", ("files",), unseen_in=("losses",)),
    seen("console_log_simple", True, "files", console_log_file="{here}/said.log"),
]

ROWS = [*LOGGING, *ABOUT, *CONSOLE]

test_it_changes_what_it_should = checked(ROWS)
