"""Our curves against those of diffusers and transformers, step by step, and against numbers worked out by hand."""

import diffusers.optimization as diffusers
import pytest
import torch
import transformers.optimization as transformers

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.curves import CURVES
from sd_scripts.library.train.schedules import make_schedule, schedule_name, steps_of
from sd_scripts.options.optimizer import SCHEDULES, ScheduleOptions

TOTAL = 40
RATE = 2e-3


def ours(learning_rate=RATE, total_steps=TOTAL, **values):
    schedule = make_schedule(ScheduleOptions(**values), total_steps, learning_rate)
    return [schedule(step) for step in range(total_steps)]


def theirs(make, **values):
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    optimizer = torch.optim.SGD([weight], lr=RATE)
    scheduler = make(optimizer, **values)
    factors = []
    for _ in range(TOTAL):
        factors.append(optimizer.param_groups[0]["lr"] / RATE)
        optimizer.step()
        scheduler.step()
    return factors


WARM = {"num_warmup_steps": 7}
ALL = WARM | {"num_training_steps": TOTAL}
RULES = "1:10,0.1:20,0.01:30,0.005"
STABLE = {"num_decay_steps": 12, "min_lr_ratio": 0.1} | ALL
SAME = [
    ("constant_with_warmup", {}, transformers.get_constant_schedule_with_warmup, WARM),
    ("linear", {}, transformers.get_linear_schedule_with_warmup, ALL),
    ("cosine", {}, transformers.get_cosine_schedule_with_warmup, ALL),
    ("cosine", {"lr_scheduler_args": ["num_cycles=1.5"]}, diffusers.get_cosine_schedule_with_warmup,
     ALL | {"num_cycles": 1.5}),
    ("cosine_with_restarts", {"lr_scheduler_num_cycles": 3},
     transformers.get_cosine_with_hard_restarts_schedule_with_warmup, ALL | {"num_cycles": 3}),
    ("polynomial", {"lr_scheduler_power": 3}, transformers.get_polynomial_decay_schedule_with_warmup,
     ALL | {"power": 3}),
    ("polynomial", {"lr_scheduler_args": ["lr_end=1e-3"]}, transformers.get_polynomial_decay_schedule_with_warmup,
     ALL | {"lr_end": 1e-3}),
    ("inverse_sqrt", {}, transformers.get_inverse_sqrt_schedule, WARM),
    ("inverse_sqrt", {"lr_scheduler_timescale": 3}, transformers.get_inverse_sqrt_schedule, WARM | {"timescale": 3}),
    ("cosine_with_min_lr", {"lr_scheduler_min_lr_ratio": 0.2},
     transformers.get_cosine_with_min_lr_schedule_with_warmup, ALL | {"min_lr_rate": 0.2}),
    ("cosine_with_min_lr", {"lr_scheduler_args": ["min_lr=1e-4"], "lr_scheduler_num_cycles": 3},
     transformers.get_cosine_with_min_lr_schedule_with_warmup, ALL | {"min_lr": 1e-4, "num_cycles": 1.5}),
    *[
        ("warmup_stable_decay",
         {"lr_decay_steps": 12, "lr_scheduler_min_lr_ratio": 0.1,
          "lr_scheduler_args": [f"warmup_type={form}", f"decay_type={form}"]},
         transformers.get_wsd_schedule, STABLE | {"warmup_type": form, "decay_type": form})
        for form in ("linear", "cosine", "1-sqrt")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "make", "arguments"), SAME)
def test_it_is_the_same_curve(name, values, make, arguments):
    assert ours(lr_scheduler=name, lr_warmup_steps=7, **values) == pytest.approx(theirs(make, **arguments), abs=1e-12)


def test_piecewise_constant_is_diffusers():
    factors = ours(lr_scheduler="piecewise_constant", lr_scheduler_args=[f"step_rules={RULES}"])
    assert factors == pytest.approx(theirs(diffusers.get_piecewise_constant_schedule, step_rules=RULES))
    assert factors[::10] == [1, 0.1, 0.01, 0.005]


def test_inverse_sqrt_without_a_warm_up():
    assert ours(lr_scheduler="inverse_sqrt") == pytest.approx(
        theirs(transformers.get_inverse_sqrt_schedule, num_warmup_steps=0)
    )


HALF_ROOT = 2**-0.5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"lr_warmup_steps": 2}, [0, 0.5, 1, 1]),
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 4}, [0, 0.25, 0.5, 0.75]),
        ({"lr_scheduler": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"lr_scheduler": "LINEAR", "lr_warmup_steps": 0.5}, [0, 0.5, 1, 0.5]),
        ({"lr_scheduler": "linear", "lr_warmup_steps": 1.0}, [0, 1, 2 / 3, 1 / 3]),
        ({"lr_scheduler": "cosine"}, [1, 0.5 + HALF_ROOT / 2, 0.5, 0.5 - HALF_ROOT / 2]),
        ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 2}, [1, 0.5, 1, 0.5]),
        ({"lr_scheduler": "polynomial", "lr_scheduler_power": 2, "lr_scheduler_args": ["lr_end=0"]},
         [1, 0.5625, 0.25, 0.0625]),
        ({"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 0.5}, [1, 1, 1, 0.5]),
        ({"lr_scheduler": "cosine_with_min_lr"}, [1, 0.5 + HALF_ROOT / 2, 0.5, 0.5 - HALF_ROOT / 2]),
        ({"lr_scheduler": "adafactor:1e-3"}, [1, 1, 1, 1]),
    ],
)  # fmt: skip
def test_by_hand(options, expected):
    assert ours(total_steps=4, **options) == pytest.approx(expected)


def test_all_schedules_have_a_curve():
    assert tuple(CURVES) == tuple(SCHEDULES)


def test_steps_may_be_a_share():
    assert [steps_of("lr_warmup_steps", asked, 200) for asked in (0, 0.1, 1.0, 1, 30)] == [0, 20, 1, 1, 30]
    with pytest.raises(BadOption, match="--lr_warmup_steps 1.5: write whole steps, or a share") as caught:
        steps_of("lr_warmup_steps", 1.5, 200)
    assert caught.value.option == "lr_warmup_steps"


@pytest.mark.parametrize(
    ("values", "option", "sentence"),
    [
        ({"lr_scheduler": "cosin"}, "lr_scheduler", "Did you mean cosine?"),
        ({"lr_scheduler": "adafactor:fast"}, "lr_scheduler", '"adafactor:fast": there is no such schedule'),
        ({"lr_scheduler": "cosine:2"}, "lr_scheduler", "Did you mean cosine?"),
        ({"lr_scheduler": "zzz"}, "lr_scheduler", "Use constant, constant_with_warmup, linear"),
        ({"lr_scheduler": "piecewise_constant"}, "lr_scheduler_args", "needs the argument step_rules"),
        ({"lr_scheduler": "piecewise_constant", "lr_scheduler_args": ["step_rules=1-2,3"]}, "lr_scheduler_args",
         "write factor:step pairs and a last factor"),
        ({"lr_scheduler": "piecewise_constant", "lr_scheduler_args": ["step_rules=1:2,x"]}, "lr_scheduler_args",
         "step_rules=1:2,x"),
        ({"lr_scheduler": "linear", "lr_scheduler_args": ["power=2"]}, "lr_scheduler_args",
         "The schedule linear has no argument power. It takes none."),
        ({"lr_scheduler": "polynomial", "lr_scheduler_args": ["lr_end=0.1"]}, "learning_rate",
         "ends at lr_end=0.1, so --learning_rate must be higher"),
        ({"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 30, "lr_warmup_steps": 20}, "lr_decay_steps",
         "20 steps of warm-up and 30 of decay are more than the 40 of training"),
        ({"lr_scheduler": "warmup_stable_decay", "lr_scheduler_args": ["decay_type=sine"]}, "lr_scheduler_args",
         "decay_type=sine: use linear, cosine, 1-sqrt"),
    ],
)  # fmt: skip
def test_mistakes(values, option, sentence):
    with pytest.raises(BadOption) as caught:
        ours(**values)
    assert sentence in str(caught.value)
    assert caught.value.option == option


def test_the_name_of_adafactors_schedule_may_carry_a_rate():
    assert schedule_name(ScheduleOptions(lr_scheduler="adafactor:1e-3")) == "adafactor"
