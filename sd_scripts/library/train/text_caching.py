"""Captions encoded once, before training, by all processes together; then the text encoders rest."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.library.data.picture_data import PictureData, with_held_out
from sd_scripts.library.data.training_data import Item, Moment, TrainingData
from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.family import Family, Tensors
from sd_scripts.library.models.vae import weights_hash
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted
from sd_scripts.library.team import Team
from sd_scripts.library.train.precision import computed_in
from sd_scripts.library.train.prompts import read_prompts
from sd_scripts.library.train.text_files import MISSING, Lacking, TextFiles, TextSource, places_of
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.trainer import TrainerOptions


def cache_texts(
    family: Family, texts: Texts, data: TrainingData, options: TrainerOptions, team: Team, report: Report
) -> None:
    """Does what the options ask for, and sends the text encoders to rest. Errors: BadOption, BadFile."""
    asked = options.text_cache
    if not asked.asked:
        return
    if data.captions_change:
        sentence = "the dataset gives a picture another caption each time, so there is nothing to keep. Leave it out."
        raise BadOption("cache_text_encoder_outputs", f"--cache_text_encoder_outputs: {sentence}")
    if asked.cache_text_encoder_outputs_to_disk and isinstance(data, PictureData):
        write_files(family, texts, data, options, team, report)
    else:
        _keep_all(texts, data, report)
    if options.samples.sample_prompts:
        for prompt in read_prompts(options.samples.sample_prompts):
            texts.keep_prompts([prompt.negative_prompt, prompt.prompt])
    texts.rest()


def _keep_all(texts: Texts, data: TrainingData, report: Report) -> None:
    """In memory, however much it takes: each process needs all of them."""
    captions = sorted({caption for _, caption in _captions(data)})
    texts.most_bytes = 2**63
    report.phase("cache_texts", f"Encoding {counted(len(captions), 'caption')}", len(captions))
    for caption in report.each(captions, len(captions)):
        texts.outputs_of(caption)


# So many files a process makes before it hears the others, and stops.
FILES_A_ROUND = 8


class Written(NamedTuple):
    """Files of captions: how many there are to be, how many of them were missing, how many were made."""

    files: int
    missing: int
    made: int


def write_files(
    family: Family, texts: Texts, data: PictureData, options: TrainerOptions, team: Team, report: Report
) -> Written:
    """Makes the files that are missing, and has the texts read from them. Errors: BadOption, BadFile."""
    places = places_of(_captions(data), family.texts_suffix)
    names = tuple(texts.encode([""]))
    known, check = data.finder.known, data.finder.check
    files = TextFiles(places, _source(family, texts, options), names, known, trusting=check == "size")
    lacking, total = files.lacking(), sum(map(len, places.values()))
    _tell(lacking, total, check == "everything", report)
    if lacking:
        report.phase("cache_texts", f"Encoding the captions of {counted(len(lacking), 'picture')}", len(lacking))
    else:
        report.say("What the text encoders make of the captions is on disk already.")
    made = _make(texts, files, lacking, team, report)
    for one in lacking[:made]:
        files.note_written(one.caption, one.path)
    known.keep()
    texts.outputs = files
    return Written(total, len(lacking), made)


def _make(texts: Texts, files: TextFiles, lacking: list[Lacking], team: Team, report: Report) -> int:
    """Makes the files, until a stop is asked for; how many were made, from the first on.

    Rounds go together, so a place that one process cannot write to makes all of them wait, and nobody reads before
    everybody has written.
    """
    step = FILES_A_ROUND * team.size
    for begin in range(0, len(lacking), step):
        part = lacking[begin : begin + step]
        encoded = [(one, texts.encode([one.caption])) for one in team.share(part)]
        while any(team.gather(bool(encoded))):
            first = encoded[0][0].path if encoded else Path()
            patiently(report, first, partial(_write_into, first.parent, files, encoded), team)
        report.progress(begin + len(part), len(lacking))
        if any(team.gather(report.stop_asked())):
            return begin + len(part)
    return len(lacking)


def _write_into(folder: Path, files: TextFiles, encoded: list[tuple[Lacking, Tensors]]) -> None:
    """Writes what comes first and lies in this folder, and takes it from the list. Errors: BadFile."""
    while encoded and encoded[0][0].path.parent == folder:
        one, outputs = encoded[0]
        files.write(one.caption, one.path, {name: tensor[0] for name, tensor in outputs.items()})
        encoded.pop(0)


def _tell(lacking: list[Lacking], total: int, verified: bool, report: Report) -> None:
    """How many files fit, and why others do not."""
    misfits = Counter(one.reason for one in lacking if one.reason != MISSING)
    fitting, wrong = total - len(lacking), misfits.total()
    if verified:
        told = f"{fitting:,} are right, {wrong:,} are not"
        report.notice(f"Verified: encoded captions were read again as a whole; {told}.")
    if misfits:
        reasons = ", ".join(f"{count:,} as {misfit}" for misfit, count in misfits.most_common())
        report.notice(f"Encoded captions on disk: {fitting:,} fit, {wrong:,} made anew: {reasons}.", "warning")


def _captions(data: TrainingData) -> list[tuple[Path, str]]:
    """Each image with its caption. Where some are dropped now and then, the empty one is encoded when it comes."""
    parts = with_held_out(data)
    return [(image.path, _caption(part, index)) for part in parts for index, image in enumerate(part.images)]


def _caption(data: TrainingData, index: int) -> str:
    return data.whole_caption(index) if isinstance(data, PictureData) else data.caption(Item(index, 0), Moment())


def _source(family: Family, texts: Texts, options: TrainerOptions) -> TextSource:
    tensors: dict[str, Any] = {}
    settings, precision = texts.settings, options.precision
    # Some trainings hold the encoders in what is computed in, others exactly: both read the same files.
    dtype = computed_in(precision)
    for part, module in family.text_encoders.items():
        tensors |= {f"{part}.{name}": tensor.to(dtype) for name, tensor in module.state_dict().items()}
    computed = precision.mixed_precision + (" of fp8" if precision.fp8_base else "")
    # The last layer is the same whether or not it is named.
    layer = 0 if settings.clip_skip in (None, 1) else settings.clip_skip
    return TextSource(weights_hash(tensors), settings.max_tokens, layer, settings.weighted, computed)
