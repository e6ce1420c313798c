"""Effects of the options of pictures that are held out, and of the average of the weights."""

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

SPLIT = {"validation_split": 0.4, "train_batch_size": 1, "max_train_steps": 2, "learning_rate": 0.01}
SAME = ("losses", "weights")

ROWS = [
    seen("validation_split", 0.4, "said", "losses", says="1 more are held out"),
    refused("validation_split", 0.9, "of 3 pictures none would be left to learn"),
    Effect("validation_seed", 2, ("said", "losses"), SPLIT),
    Effect("validate_every_n_steps", 1, ("said",), SPLIT, unseen_in=SAME, says="Validation after step 1:"),
    Effect("validate_every_n_epochs", 5, ("said",), SPLIT | {"max_train_steps": 3}, unseen_in=SAME),
    Effect("max_validation_steps", 1, ("said",), SPLIT | {"validation_split": 0.6}, unseen_in=SAME),
    Effect("keep_best", True, ("files",), SPLIT, unseen_in=SAME),
    refused("keep_best", True, "--keep_best needs pictures that are held out"),
    Effect("early_stop", 1, ("said", "losses"), SPLIT | {"max_train_steps": 8, "learning_rate": 0.05}),
    seen("ema_decay", 0.9, "weights", max_train_steps=3),
    Effect("ema_on_cpu", True, ("said",), {}, unseen_in=SAME, says="not used without --ema_decay"),
]

test_it_changes_what_it_should = checked(ROWS)
