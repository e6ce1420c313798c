"""Fine-tuning: the whole U-Net is trained, and text encoders if asked for."""

from typing import Any

from torch import Tensor, nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.drafts import Draft
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.train.method import Holding
from sd_scripts.options.method import FullMethodOptions


class FullFineTune:
    """The method of fine_tune.py and sdxl_train.py."""

    kind = "full"
    holding = Holding()
    begun_from: str | None = None
    large = True
    must_move = False

    def __init__(self, options: FullMethodOptions) -> None:
        self._text_rates = options.trained_texts
        self._block_rates = options.block_rates
        self._blocks: list[list[nn.Parameter]] = []
        self._trained: dict[str, nn.Module] = {}

    def prepare(self, family: Family, seed: int) -> None:
        """Freezes everything but the U-Net and the text encoders that are asked for. Nothing is drawn by lot.

        Errors: BadOption.
        """
        for module in (family.unet, *family.text_encoders.values(), family.vae):
            module.requires_grad_(False).eval()
        texts = {part: module for part, module in family.text_encoders.items() if part in self._text_rates}
        self._trained = {"unet": family.unet, **texts}
        for module in self._trained.values():
            module.requires_grad_(True).train()
        family.freeze_unused()
        if self._block_rates:
            self._blocks = _blocks_for(self._block_rates, family)

    def trained(self) -> dict[str, nn.Module]:
        """The modules that are trained, by the name of their part."""
        return self._trained

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """A group for each part, or for each block of the U-Net; text encoders may have rates of their own."""
        groups = []
        for name, module in self._trained.items():
            own = self._text_rates.get(name)
            groups.append(_group(name, list(module.parameters()), learning_rate if own is None else own))
        if self._block_rates:
            numbered = enumerate(zip(self._blocks, self._block_rates, strict=True))
            groups[:1] = [_group(f"unet.block{number:02d}", block, rate) for number, (block, rate) in numbered]
        return [group for group in groups if group["params"]]

    def trains_text_encoder(self) -> bool:
        """Whether captions are encoded with gradients."""
        return bool(self._text_rates)

    def use_strength(self, strength: float) -> None:
        """A whole model has no strength but 1."""

    def after_step(self) -> dict[str, Tensor]:
        """Nothing is done to the weights beside the step."""
        return {}

    def draft(self, family: Family, request: SaveRequest) -> Draft:
        """The whole model."""
        return family.draft(request)


def _group(name: str, parameters: list[nn.Parameter], rate: float) -> dict[str, Any]:
    return {"params": [parameter for parameter in parameters if parameter.requires_grad], "lr": rate, "name": name}


def _blocks_for(rates: list[float], family: Family) -> list[list[nn.Parameter]]:
    """The U-Net's blocks; those with a rate of 0 are frozen. Errors: BadOption, where there are not as many."""
    blocks = family.unet_blocks()
    if len(blocks) != len(rates):
        raise BadOption("block_lr", f"--block_lr has {len(rates)} numbers, and this U-Net has {len(blocks)} blocks.")
    for parameters in (block for block, rate in zip(blocks, rates, strict=True) if rate == 0):
        for parameter in parameters:
            parameter.requires_grad_(False)
    return blocks
