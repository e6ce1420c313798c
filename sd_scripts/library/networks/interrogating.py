"""Which words a LoRA's text encoder answers unlike the model's own."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.models.sd import StableDiffusion
from sd_scripts.library.networks.changes import fits, with_network
from sd_scripts.library.networks.stored import StoredNetwork
from sd_scripts.library.report import Report, counted

LISTED = 100


class Word(NamedTuple):
    """A token, its text, and the mean difference of the two answers to it."""

    token: int
    text: str
    difference: float


def interrogate(
    model: StableDiffusion, network: StoredNetwork, size: int, clip_skip: int | None, r: Report
) -> list[Word]:
    """The words with the greatest differences, greatest first. Errors: BadFile, for a LoRA without a text encoder."""
    keys = [key for key in network.keys if key.startswith("lora_te")]
    if not keys:
        raise BadFile(f"{network.path} has no part in the text encoder, so there is nothing to ask it.")
    tokenizer: Any = model.tokenizers[0]
    tokens_B = torch.arange(len(tokenizer))
    count = -(-len(tokens_B) // size)
    r.phase("interrogate", f"Asking about {counted(len(tokens_B), 'word')}, {size} at once.", total=2 * count)
    before = torch.cat(list(_answers(model, tokens_B, size, clip_skip, r, 0)))
    _merge(model, network, keys)
    after = torch.cat(list(_answers(model, tokens_B, size, clip_skip, r, count)))
    differences_B = (after - before).abs().mean(dim=(1, 2))
    found = differences_B.argsort(descending=True)[:LISTED].tolist()
    texts = [tokenizer.decode([token]) for token in found]
    return [Word(token, text, float(differences_B[token])) for token, text in zip(found, texts, strict=True)]


@torch.inference_mode()
def _answers(
    model: StableDiffusion, tokens_B: Tensor, size: int, clip_skip: int | None, r: Report, done: int
) -> Iterator[Tensor]:
    """hidden_BLD of begin, the word and end, for `size` words at a time."""
    tokenizer: Any = model.tokenizers[0]
    settings = TextSettings(clip_skip)
    for number, tokens in enumerate(tokens_B.split(size), 1):
        ends = [torch.full_like(tokens, end) for end in (tokenizer.bos_token_id, tokenizer.eos_token_id)]
        yield model.encode_ids(torch.stack([ends[0], tokens, ends[1]], dim=1), settings)
        r.progress(done + number)
        r.stop_if_asked()


def _merge(model: StableDiffusion, network: StoredNetwork, keys: list[str]) -> None:
    """Puts the LoRA's change into the text encoder's weights in memory."""
    layers = {layer.key: layer.module for layer in model.adaptable().layers}
    for key in keys:
        lora = network.lora(key)
        module: Any = layers.get(key)
        if module is None or not fits(tuple(module.weight.shape), lora):
            raise BadFile(f"{network.path} is for another kind of model: its {key} does not fit. Choose another.")
        changed = with_network(module.weight.detach(), lora, 1.0)
        module.weight = torch.nn.Parameter(changed.to(module.weight.dtype), requires_grad=False)
