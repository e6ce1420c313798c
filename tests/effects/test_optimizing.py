"""Effects of the options of the optimizer and of the learning rate."""

from tests.effects.check import checked
from tests.effects.effect import seen

OPTIMIZER = [
    seen("learning_rate", 1e-2, "weights", "rates", "header"),
    seen("optimizer_type", "SGD", "weights", "header"),
    seen("use_8bit_adam", True, "weights", "header"),
    seen("use_lion_optimizer", True, "weights", "header"),
    seen("optimizer_args", ["weight_decay=0.5"], "weights"),
    seen("max_grad_norm", 1e-3, "weights", "header", optimizer_type="SGD"),
]

SCHEDULE = [
    seen("lr_scheduler", "cosine", "rates", "weights", "header"),
    seen("lr_warmup_steps", 2, "rates", "weights", "header"),
    seen("lr_scheduler_num_cycles", 2, "rates", lr_scheduler="cosine_with_restarts", max_train_steps=4),
    seen("lr_scheduler_power", 2.0, "rates", lr_scheduler="polynomial"),
]

ROWS = [*OPTIMIZER, *SCHEDULE]

test_it_changes_what_it_should = checked(ROWS)
