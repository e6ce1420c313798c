"""Textual inversion: a new word is learnt, and nothing else of the model changes.

Source: Gal et al., "An Image is Worth One Word: Personalizing Text-to-Image Generation using Textual Inversion", 2022.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.drafts import Draft
from sd_scripts.library.io.embedding_names import ONE_ENCODER, TWO_ENCODERS
from sd_scripts.library.io.embeddings import read_fitting, write_embedding
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.models.new_vectors import NewVectors
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.beside import ANEW, file_of, freeze, small_draft, spec_of
from sd_scripts.library.train.inversion_rules import told_of_word
from sd_scripts.library.train.method import Holding
from sd_scripts.library.train.precision import weights_dtype
from sd_scripts.options.inversion import InversionTrainerOptions


class InversionMethod:
    """The method of train_textual_inversion.py and its kin for other models."""

    kind = "textual_inversion"
    holding = Holding(exact=False)
    large = False
    must_move = True

    def __init__(self, options: InversionTrainerOptions, report: Report) -> None:
        self.word = told_of_word(options.inversion)
        self._asked = options.inversion
        self.begun_from = options.inversion.weights
        self._precision = options.precision
        self._resumed = bool(options.state.source)
        self._report = report
        self._trained: dict[str, NewVectors] = {}

    def prepare(self, family: Family, seed: int) -> None:
        """Freezes the model, and adds the word. Errors: BadFile."""
        freeze(family)
        vectors = family.first_vectors(self._asked.init_word, self.word.count, derive(seed, "embedding"))
        if self._asked.weights:
            vectors = self._from_file(self._asked.weights, vectors)
        else:
            self._say_beginning(family)
        self._trained = family.add_word(self.word, vectors)
        for new in self._trained.values():
            new.to(weights_dtype(self._precision))
        # Layers that are recomputed are so in training mode only.
        for module in (family.unet, *family.text_encoders.values()):
            module.train()

    def trained(self) -> dict[str, nn.Module]:
        """The word's vectors, by text encoder."""
        return dict(self._trained)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """A group for each text encoder."""
        return [
            {"params": list(new.parameters()), "lr": learning_rate, "name": part} for part, new in self._trained.items()
        ]

    def trains_text_encoder(self) -> bool:
        """Captions are encoded with gradients."""
        return True

    def use_strength(self, strength: float) -> None:
        """A word has none: network_multiplier is refused."""

    def after_step(self) -> dict[str, Tensor]:
        """Nothing is done to the vectors beside the step."""
        return {}

    def draft(self, family: Family, request: SaveRequest) -> Draft:
        """What `save` writes."""
        return small_draft(self.save, family, request)

    def save(self, family: Family, request: SaveRequest) -> Path:
        """Writes the embedding. Errors: BadFile."""
        path = file_of(request)
        states = (new.state_dict()["vectors"] for new in self._trained.values())
        vectors = {name: state.to(request.dtype) for name, state in zip(self._names(), states, strict=True)}
        facts = spec_of(family, request, "textual-inversion")
        write_embedding(path, vectors, self.word.text, facts)
        return path

    def _names(self) -> tuple[str, ...]:
        """What files call the vectors of each text encoder."""
        return ONE_ENCODER if len(self._trained) == 1 else TWO_ENCODERS

    def _from_file(self, file: str, new: dict[str, Tensor]) -> dict[str, Tensor]:
        """The vectors of a file in place of new ones. Errors: BadFile, where they do not fit this model or word."""
        vectors = read_fitting(file, {part: vectors_ND.shape[1] for part, vectors_ND in new.items()})
        count = len(next(iter(vectors.values())))
        if count != self.word.count:
            raise BadFile(
                f"{file} has {count} vectors, and --num_vectors_per_token is {self.word.count}. Set it to {count}."
            )
        self._report.say(f"Going on from {file}.")
        if not self._resumed:
            self._report.say(ANEW)
        return {part: taken.to(new[part].device) for part, taken in vectors.items()}

    def _say_beginning(self, family: Family) -> None:
        word, count, text = self.word.text, self.word.count, self._asked.init_word
        if text is None:
            self._report.say(f'"{word}" begins with vectors by lot; --init_word with a like word is a quicker start.')
            return
        tokens = family.token_count(text)
        self._report.say(f'"{word}" begins as "{text}".')
        if tokens > 1 and tokens != count:
            which = "the first ones are taken" if tokens > count else "they are taken in turn"
            self._report.notice(f"--init_word {text} has {tokens} tokens for {count} vectors: {which}.", "warning")
