"""Vectors of new words beside those that a text encoder has (Gal et al., "An Image is Worth One Word", 2022)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sd_scripts.library.models.clip_tokenizer import token_ids


class NewVectors(nn.Module):
    """The vectors of a new word in one text encoder: nothing else of it is trained."""

    def __init__(self, vectors_ND: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors_ND)

    def forward(self, index_BL: Tensor) -> Tensor:
        """vectors_BLD of places among the new ones."""
        return functional.embedding(index_BL, self.vectors)


class LongerEmbedding(nn.Module):
    """An embedding whose ids from `first_id` on have new vectors; the others have those that they had."""

    def __init__(self, known: nn.Module, new: NewVectors, first_id: int) -> None:
        super().__init__()
        self.known = known
        # In a list: the text encoder holds and casts what is its own; what is trained keeps its digits.
        self._new = [new]
        self._first_id = first_id

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """vectors_BLD, in the number format of the known ones, as the layers after them expect."""
        place_BL = tokens_BL - self._first_id
        count = len(self._new[0].vectors)
        is_new_BL = (place_BL >= 0) & (place_BL < count)
        known_BLD = self.known(tokens_BL.masked_fill(is_new_BL, 0))
        # Always looked up, so that each step has a gradient for the new ones: zeros, where no text has the word.
        new_BLD = self._new[0](place_BL.clamp(0, count - 1))
        return torch.where(is_new_BL[:, :, None], new_BLD.to(known_BLD.dtype), known_BLD)


def add_vectors(text_encoder: Any, vectors_ND: Tensor, first_id: int, end_id: int) -> NewVectors:
    """The text encoder has vectors for the ids from `first_id` on."""
    new = NewVectors(vectors_ND)
    text_encoder.set_input_embeddings(LongerEmbedding(text_encoder.get_input_embeddings(), new, first_id))
    # Older configurations say 2 and mean "the highest id", which a new word's would be.
    getattr(text_encoder, "text_model", text_encoder).eos_token_id = end_id
    return new


def vectors_of(text_encoder: Any, tokenizer: Any, text: str, count: int) -> Tensor:
    """vectors_ND of a text's tokens: of the first `count` of them, or in turn until there are as many."""
    ids = token_ids(tokenizer, [text])[0]
    taken = torch.tensor([[ids[place % len(ids)] for place in range(count)]])
    embedding = text_encoder.get_input_embeddings()
    with torch.no_grad():
        vectors_ND: Tensor = embedding(taken.to(next(embedding.parameters()).device))[0]
    return vectors_ND.float()


def vectors_by_lot(text_encoder: Any, count: int, seed: int) -> Tensor:
    """vectors_ND whose numbers are spread as those of the text encoder's own vectors are."""
    known_VD = next(text_encoder.get_input_embeddings().parameters()).detach().float()
    generator = torch.Generator().manual_seed(seed)
    drawn_ND = torch.randn(count, known_VD.shape[1], generator=generator).to(known_VD.device)
    return known_VD.mean(0) + drawn_ND * known_VD.std(0)
