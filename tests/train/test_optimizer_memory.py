"""What the page says that optimizers keep for each weight is what they keep."""

import pytest
import torch

from sd_scripts.library.train.optimizers import make_optimizer
from sd_scripts.options.optimizer import STATES, OptimizerOptions


@pytest.mark.parametrize("name", STATES)
@pytest.mark.filterwarnings("ignore")
def test_an_optimizer_keeps_what_the_page_counts(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(256, 256))
    optimizer = make_optimizer([{"params": [weight], "lr": 1e-3}], OptimizerOptions(optimizer_type=name))
    if hasattr(optimizer, "train"):
        optimizer.train()
    weight.grad = torch.full_like(weight, 0.5)
    optimizer.step()
    kept = [value for value in optimizer.state[weight].values() if torch.is_tensor(value)]
    number_bytes = 1 if name.endswith("8bit") else 4
    # 8-bit numbers come with a scale for each block; AdaFactor has sums of rows and columns.
    most = STATES[name] * number_bytes + 0.1
    assert most - 0.1 <= sum(value.numel() * value.element_size() for value in kept) / weight.numel() <= most
