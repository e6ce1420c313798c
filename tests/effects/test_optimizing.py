"""Effects of the options of the optimizer and of the learning rate."""

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

OPTIMIZER = [
    seen("learning_rate", 1e-2, "weights", "rates", "header"),
    seen("learning_rate_te", 1e-4, "weights", "rates", "header", train_text_encoder=True),
    seen("learning_rate_te", 0.0, "weights", "rates", "said", train_text_encoder=True),
    Effect("learning_rate_te", 1e-4, ("said",), unseen_in=("losses", "weights", "rates")),
    *[
        seen("optimizer_type", name, "weights", "header")
        for name in ("SGD", "SGDNesterov", "Lion8bit", "came", "AdamWScheduleFree", "torch.optim.Adam")
    ],
    seen("optimizer_type", "AdaFactor", "weights", "header", "rates", "said"),
    seen("optimizer_type", "DAdaptAdam", "weights", "header", "rates", "said"),
    refused("optimizer_type", "SophiaH", "needs second derivatives of the loss, so it cannot train here"),
    seen("use_8bit_adam", True, "weights", "header"),
    seen("use_lion_optimizer", True, "weights", "header"),
    seen("optimizer_args", ["weight_decay=0.5"], "weights", "header"),
    seen("max_grad_norm", 1e-3, "weights", "header", optimizer_type="SGD"),
]

SCHEDULE = [
    seen("lr_scheduler", "cosine", "rates", "weights", "header"),
    seen("lr_warmup_steps", 2, "rates", "weights", "header"),
    seen("lr_scheduler_num_cycles", 2, "rates", lr_scheduler="cosine_with_restarts", max_train_steps=4),
    seen("lr_scheduler_power", 2.0, "rates", lr_scheduler="polynomial"),
    Effect("lr_scheduler_power", 2.0, ("said",), {"lr_scheduler": "linear"}, unseen_in=("rates", "weights")),
    seen("lr_scheduler_timescale", 1, "rates", "weights", lr_scheduler="inverse_sqrt"),
    seen("lr_scheduler_min_lr_ratio", 0.2, "rates", "weights", lr_scheduler="cosine_with_min_lr"),
    seen("lr_decay_steps", 2, "rates", "weights", lr_scheduler="warmup_stable_decay"),
    refused("lr_scheduler", "adafactor", "needs --optimizer_type AdaFactor"),
    seen("lr_scheduler", "cosine", "said", optimizer_type="AdamWScheduleFree"),
    seen("lr_scheduler_type", "LinearLR", "rates", "weights", "header"),
    seen("lr_scheduler_args", ["start_factor=0.5"], "rates", lr_scheduler_type="LinearLR"),
    seen("lr_scheduler_args", ["lr_end=5e-4"], "rates", lr_scheduler="polynomial"),
]

ROWS = [*OPTIMIZER, *SCHEDULE]

test_it_changes_what_it_should = checked(ROWS)
