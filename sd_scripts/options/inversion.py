"""Options of textual inversion, whatever the model: the new word, what it begins as, and the form of its files."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sd_scripts.options.data import EitherDataOptions
from sd_scripts.options.network import NetworkFormatOptions
from sd_scripts.options.spec import PathTo, Range
from sd_scripts.options.trainer import TrainerOptions


@dataclass(kw_only=True)
class InversionOptions:
    """The new word that is learnt. Nothing else of the model changes."""

    token_string: str | None = None
    """The new word, which stands in captions and prompts for what is learnt; none that the model knows already."""

    init_word: str | None = None
    """A word or a few that the new one begins as, such as dog. Empty: it begins with vectors by lot."""

    num_vectors_per_token: Annotated[int, Range(low=1, high=75)] = 1
    """Vectors of the new word: more hold more, and take as many of the 75 tokens of a prompt."""

    weights: Annotated[str | None, PathTo("file")] = None
    """An embedding's file to go on from, with as many vectors."""

    use_object_template: bool = False
    """In place of the pictures' captions: "a photo of WORD" and the like, for a thing, a person or an animal."""

    use_style_template: bool = False
    """In place of the pictures' captions: "a painting in the style of WORD" and the like."""


@dataclass(kw_only=True)
class EmbeddingFormatOptions(NetworkFormatOptions):
    """The form of the saved files."""

    save_model_as: Literal["ckpt", "pt", "safetensors"] = "pt"
    """Format of the saved embeddings. Only .safetensors has a header that tells of the training."""


@dataclass(kw_only=True)
class InversionTrainerOptions(TrainerOptions):
    """Those of textual inversion for any model."""

    inversion: InversionOptions = field(default_factory=InversionOptions)
    data: EitherDataOptions = field(default_factory=EitherDataOptions)
    format: EmbeddingFormatOptions = field(default_factory=EmbeddingFormatOptions)
