"""Every optimizer by its short name: it changes the weights, and goes on exactly from its saved memory."""

import importlib
import inspect

import pytest
import torch

from sd_scripts.library.errors import BadOption
from sd_scripts.library.seeds import sow
from sd_scripts.library.train.known_optimizers import CANNOT, KNOWN, MUON, NEEDS_A_RATE
from sd_scripts.library.train.optimizers import learning_rates, make_optimizer, set_learning_rates, sets_its_rates
from sd_scripts.library.train.state import Contents, restore, save_state
from sd_scripts.library.train.state_facts import Facts
from sd_scripts.options.optimizer import OPTIMIZERS, OptimizerOptions, finds_its_rate, is_schedule_free

pytestmark = [
    pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU:UserWarning"),
    # bitsandbytes looks for faster kernels, and pytorch-optimizer uses what newer torch calls by other names.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

# 8-bit memory begins at 4096 numbers.
SHAPES = {"kernel": (8, 4, 3, 3), "matrix": (12, 8), "vector": (8,), "large": (64, 64)}
WITH = {"Ranger21": ["num_iterations=20"]}
# It learns the weights that are small to begin with.
SOME_WEIGHTS = {"SaRA"}
# They wait until they know how gradients vary, the longest for ten steps.
STEPS = 12
FACTS = Facts(step=1, epoch=0, window=0, seed=0, plan="", method="full", family="sd1", optimizer="")


class Model(torch.nn.Module):
    """A few weights of every shape; the last has no gradient, as layers that clip_skip leaves out."""

    def __init__(self, large):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, shape in SHAPES.items():
            if large or name != "large":
                setattr(self, name, torch.nn.Parameter(torch.randn(shape, generator=generator)))
        self.unused = torch.nn.Parameter(torch.ones(3))

    def learns(self):
        return {name: p for name, p in self.named_parameters() if name != "unused"}


def options(name):
    rate = 1.0 if finds_its_rate(name) else 1e-3
    return OptimizerOptions(optimizer_type=name, optimizer_args=WITH.get(name), learning_rate=rate)


def make(name):
    model = Model(large="8bit" in name)
    parameters = list(model.parameters())
    groups = [
        {"params": parameters[:1], "lr": options(name).learning_rate, "name": "unet"},
        {"params": parameters[1:], "lr": options(name).learning_rate, "name": "text_encoder"},
    ]
    return model, make_optimizer(groups, options(name))


def take_steps(model, optimizer, first, last, warm):
    if hasattr(optimizer, "train"):
        optimizer.train()
    for step in range(first, last):
        # As a training does: some optimizers draw by numpy.
        sow(step)
        set_learning_rates(optimizer, 1.0 if step or warm else 0.0)
        for parameter in model.learns().values():
            parameter.grad = torch.randn(parameter.shape) * 0.1
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_learns_and_goes_on_exactly(tmp_path, name):
    model, optimizer = make(name)
    before = {part: weight.detach().clone() for part, weight in model.named_parameters()}
    # A warm-up begins at a rate of 0.
    take_steps(model, optimizer, 0, STEPS, warm=name in NEEDS_A_RATE)
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    changed = [part for part, weight in model.learns().items() if not torch.equal(weight, before[part])]
    assert changed == list(model.learns()) or (name in SOME_WEIGHTS and changed)
    assert torch.equal(model.unused, before["unused"])
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    save_state(tmp_path / "state", FACTS, Contents({"model": model}, optimizer))
    again, resumed = make(name)
    restore(str(tmp_path / "state"), FACTS, Contents({"model": again}, resumed))
    for one, its_optimizer in ((model, optimizer), (again, resumed)):
        take_steps(one, its_optimizer, STEPS, STEPS + 2, warm=True)
    assert all(torch.equal(mine, its) for mine, its in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_its_rates_are_told(name):
    model, optimizer = make(name)
    take_steps(model, optimizer, 1, 2, warm=True)
    rates = learning_rates(optimizer)
    assert {"unet", "text_encoder"} <= set(rates)
    assert ("d*lr/unet" in rates) == finds_its_rate(name)
    if sets_its_rates(options(name)):
        assert rates["unet"] > 0
    else:
        assert rates["unet"] == options(name).learning_rate


def test_all_of_pytorch_optimizer_are_known_or_refused():
    """The list is the package's own. What other packages have under the same name is taken from there."""
    package = importlib.import_module("pytorch_optimizer")
    names = {package.load_optimizer(name).__name__.lower() for name in package.get_supported_optimizers()}
    assert names <= {name.lower() for name in (*KNOWN, *CANNOT)}
    assert all(hasattr(package, name) for name, known in KNOWN.items() if known.module == "pytorch_optimizer")


def test_all_of_torch_are_known_or_refused():
    classes = {name for name, it in vars(torch.optim).items() if inspect.isclass(it) and name != "Optimizer"}
    assert {name.lower() for name in classes} <= {name.lower() for name in (*KNOWN, *CANNOT)}


def test_names_that_are_offered_are_those_that_are_known():
    assert set(KNOWN) == set(OPTIMIZERS)
    assert len(set(map(str.lower, OPTIMIZERS))) == len(OPTIMIZERS)
    assert set(MUON) | set(NEEDS_A_RATE) <= set(KNOWN)
    assert not set(CANNOT) & set(KNOWN)


@pytest.mark.parametrize("name", [*CANNOT, "sophiah", "pytorch_optimizer.SophiaH", "torch.optim.SparseAdam"])
def test_those_that_cannot_train_here_say_why(name):
    with pytest.raises(BadOption, match="so it cannot train here. Use another, such as AdamW") as caught:
        make_optimizer([], OptimizerOptions(optimizer_type=name))
    assert caught.value.option == "optimizer_type"


def test_kinds_are_known_by_name():
    assert [name for name in OPTIMIZERS if is_schedule_free(name)] == [
        "AdamWScheduleFree", "RAdamScheduleFree", "SGDScheduleFree",
        "ScheduleFreeAdamW", "ScheduleFreeRAdam", "ScheduleFreeSGD",
    ]  # fmt: skip
    assert finds_its_rate("pytorch_optimizer.DAdaptAdam") and is_schedule_free("schedulefree.AdamWScheduleFree")
    assert not finds_its_rate("")


def test_muon_treats_matrices_and_vectors_apart():
    model = Model(large=False)
    groups = [{"params": list(model.parameters()), "lr": 1e-3, "name": "unet"}]
    optimizer = make_optimizer(groups, OptimizerOptions(optimizer_type="muon", optimizer_args=["adamw_lr=1e-4"]))
    assert [(group["use_muon"], group["lr"], len(group["params"])) for group in optimizer.param_groups] == [
        (True, 1e-3, 2),
        (False, 1e-4, 2),
    ]
    assert set(learning_rates(optimizer)) == {"unet", "unet.vectors"}
