"""What must be true of a new word's options, what a user should know of them, and of captions. Needs no torch."""

import re
from collections.abc import Iterator
from pathlib import Path

from sd_scripts.library.data.caption_rules import with_ends
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.training_data import TrainingData
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.fitting import check_embedding_file
from sd_scripts.library.models.clip_vocabulary import is_ordinary
from sd_scripts.library.models.new_word import NewWord
from sd_scripts.library.notice import Notice
from sd_scripts.library.report import Report
from sd_scripts.library.train.checks.data import caching_option
from sd_scripts.library.train.checks.output import last_target
from sd_scripts.library.train.optimizers import optimizer_name, sets_its_rates
from sd_scripts.options.inversion import InversionOptions, InversionTrainerOptions
from sd_scripts.options.optimizer import OptimizerOptions, finds_its_rate

# What is a sign in captions (commas, wildcards) or in prompts (weights, options).
_SIGNS = re.compile(r"[\s,(){}\[\]\\|]|--")
# Below this a vector hardly moves in a usual training: its numbers are about 0.01.
LOW_RATE = 1e-5
_ADVICE = "Write it into the captions, or use --caption_prefix, --use_object_template or --use_style_template."


def check_inversion(options: InversionTrainerOptions) -> None:
    """Checks what can be checked before a model is loaded. Errors: BadOption."""
    asked = options.inversion
    check_word(asked.token_string)
    if asked.init_word is not None and not asked.init_word.strip():
        raise BadOption("init_word", "--init_word is empty: name a word that the model knows, or leave it out.")
    if asked.use_object_template and asked.use_style_template:
        sentence = "--use_object_template and --use_style_template exclude each other: use one."
        raise BadOption("use_style_template", sentence)
    if options.text_cache.asked:
        option = caching_option(options.text_cache)
        raise BadOption(
            option,
            f"--{option} has no place here: what a text encoder makes of captions changes while it learns a word. "
            "Leave it out.",
        )
    if options.data.in_json and options.data.reg_data_dir:
        sentence = "--reg_data_dir does not go with --in_json: name folders with --train_data_dir alone."
        raise BadOption("reg_data_dir", sentence)
    _check_source(options)


def check_word(word: str | None) -> None:
    """The new word is one word, without signs, and new. Errors: BadOption."""
    option = "token_string"
    if not word:
        raise BadOption(option, "--token_string is needed: a new word for what is learnt, such as my-cat.")
    sign = _SIGNS.search(word)
    if sign or not word.isprintable():
        what = f'"{sign[0]}" is a sign in captions and prompts' if sign else "it has a letter that cannot be seen"
        raise BadOption(option, f"--token_string {word}: {what}. Use letters, digits and hyphens, such as my-cat.")
    if is_ordinary(word):
        raise BadOption(
            option,
            f"--token_string {word}: the model has a token of that name already. "
            f"Choose a word that is none, such as my-{word}.",
        )


def name_files(options: InversionTrainerOptions) -> None:
    """Where no name is given, files are named after the word, by which most programs know an embedding."""
    options.saving.output_name = options.saving.output_name or name_of(options.inversion.token_string)


def name_of(word: str | None) -> str | None:
    """A name for files out of a word; None where nothing is left of it."""
    return re.sub(r"[^\w.-]", "", word or "").strip(".") or None


def idle_inversion(options: InversionTrainerOptions) -> Iterator[Notice]:
    """A sentence for each option of a new word that does nothing, or not what one may think."""
    asked = options.inversion
    if asked.weights and asked.init_word:
        yield Notice("init_word", "--init_word is not used: --weights says what the word begins as.")
    if _is_low(options.optimizer):
        rate = options.optimizer.learning_rate
        sentence = f"--learning_rate {rate:g} is very low for a new word, which hardly moves by it: 0.005 is usual."
        yield Notice("learning_rate", sentence)


def told_of_word(asked: InversionOptions) -> NewWord:
    """The new word that is asked for."""
    return NewWord(asked.token_string or "", asked.num_vectors_per_token)


def check_captions(word: NewWord, data: TrainingData, report: Report) -> None:
    """Says how many pictures teach nothing, as their captions lack the word. Errors: BadOption, where all do.

    A class of the user's own may make captions as it likes, and is not asked.
    """
    if not isinstance(data, PictureData):
        return
    learnt = [picture for picture in data.pictures if not picture.subset.is_reg]
    kept = [picture for picture in data.pictures if picture.subset.is_reg]
    without = [picture for picture in learnt if not _has(picture, word)]
    if learnt and len(without) == len(learnt):
        raise BadOption(
            "token_string",
            f"--token_string {word.text} stands in no caption of the {len(learnt):,} pictures: nothing would be "
            f"learnt. {_ADVICE}",
        )
    if without:
        text = (
            f'The captions of {len(without):,} of {len(learnt):,} pictures lack "{word.text}", such as '
            f'"{without[0].image.text}": they teach nothing. {_ADVICE}'
        )
        report.notice(text, "warning")
    idle = sum(not _has(picture, word) for picture in kept)
    if idle:
        text = (
            f'Regularisation pictures without "{word.text}": {idle:,}. '
            "They only cost time, as nothing but the new word is trained."
        )
        report.notice(text, "warning")


def _has(picture: Picture, word: NewWord) -> bool:
    rules = picture.subset.captions
    return word.is_in(with_ends(picture.image.text, rules.prefix, rules.suffix))


def _is_low(optimizer: OptimizerOptions) -> bool:
    own = sets_its_rates(optimizer) or finds_its_rate(optimizer_name(optimizer))
    return optimizer.learning_rate < LOW_RATE and not own


def _check_source(options: InversionTrainerOptions) -> None:
    """The file to go on from is there, and what is written does not take its place."""
    file, target = options.inversion.weights, last_target(options)
    if not file:
        return
    if not Path(file).is_file():
        raise BadOption("weights", f"--weights {file}: there is no such file.")
    check_embedding_file(file, options.model.pretrained_model_name_or_path)
    if target.exists() and target.samefile(file):
        raise BadOption("output_name", f"--output_name: {target} is what this training reads. Choose another name.")
