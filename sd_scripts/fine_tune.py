"""Trains a whole Stable Diffusion model on pictures and their metadata."""

import sys
from functools import partial
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.fine_tune import FineTuneOptions  # noqa: E402


def work(options: FineTuneOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.checks.data import check_data
    from sd_scripts.library.train.checks.machine import check_frozen
    from sd_scripts.library.train.checks.training import check_names, check_training

    report.use_console(options.console)
    if options.data.debug_dataset:
        check_data(options)
        show_dataset(options, report)
    else:
        check_training(options)
        check_frozen(options.precision, [] if options.method.trains_text_encoder else ["text_encoder"])
        check_names(options.model, options.text)
        train(options, report)


def show_dataset(options: FineTuneOptions, report: Report) -> None:
    """Shows what would be trained; of the model only the tokenizer is needed."""
    from sd_scripts.library.data import debug_dataset
    from sd_scripts.library.data.read_dataset import open_data
    from sd_scripts.library.models.clip_tokenizer import clip_tokenizer, count_tokens, count_weighted_tokens
    from sd_scripts.library.train.course import course_of

    data = open_data(options, report)
    seed = options.length.seed or 0
    tokenizer = clip_tokenizer("<|endoftext|>")
    debug_dataset.show(
        data,
        partial(count_weighted_tokens if options.text.weighted_captions else count_tokens, tokenizer),
        report,
        max_tokens=options.text.max_token_length or 75,
        seed=seed,
        total_steps=course_of(len(data.plan(0, seed)), options.length).total_steps,
    )


def train(options: FineTuneOptions, report: Report) -> None:
    """Loads the model and the data, and trains."""
    from sd_scripts.library.train.assembly import fine_tune

    fine_tune(options, report)


if __name__ == "__main__":
    run_program(FineTuneOptions, work)
