"""How a U-Net computes attention."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sd_scripts.library.errors import NotInstalled

SLICE_BYTES = 1 << 25
"""What the scores of a slice take; there are about five of that size at a time."""


def use_attention(unet: Any, kind: str) -> None:
    """Sets how `unet` attends: default, sdpa, mem_eff_attn, xformers or diffusers_xformers. Errors: NotInstalled."""
    _KINDS[kind](unet)


class SlicedAttention:
    """diffusers' attention processor for little memory: exact attention of some tokens at a time, whose scores are
    computed again in the backward pass instead of being kept."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """hidden_BLD that attends to encoder_hidden_states, or to itself."""
        if attention_mask is not None:
            raise ValueError("SlicedAttention takes no mask; Stable Diffusion's U-Net has none.")
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(states)
            for states in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        tokens = max(1, SLICE_BYTES // (4 * query.shape[0] * key.shape[1]))
        slices = [
            checkpoint(_attend, part, key, value, attn.scale, use_reentrant=False)
            for part in query.split(tokens, dim=1)
        ]
        hidden = attn.batch_to_head_dim(torch.cat(slices, dim=1))
        return attn.to_out[1](attn.to_out[0](hidden))


def _attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    # float32: the scores of SD2 leave float16's range.
    scores = torch.bmm(query.float(), key.float().transpose(1, 2)) * scale
    return torch.bmm(scores.softmax(dim=-1).to(value.dtype), value)


def _sdpa(unet: Any) -> None:
    from diffusers.models.attention_processor import AttnProcessor2_0

    unet.set_attn_processor(AttnProcessor2_0())


def _sliced(unet: Any) -> None:
    unet.set_attn_processor(SlicedAttention())


def _xformers(unet: Any) -> None:
    advice = "Install it with `./setup.sh install --xformers`, or use --sdpa."
    if find_spec("xformers") is None:
        raise NotInstalled(f"xformers is not installed. {advice}")
    try:
        unet.enable_xformers_memory_efficient_attention()
    except Exception as error:  # Its kernels are tried here, and fail in ways of their own.
        raise NotInstalled(f"xformers does not run on this machine ({error}). {advice}") from error


_KINDS: dict[str, Callable[[Any], None]] = {
    "default": _sdpa,
    "sdpa": _sdpa,
    "mem_eff_attn": _sliced,
    "xformers": _xformers,
    "diffusers_xformers": _xformers,
}
