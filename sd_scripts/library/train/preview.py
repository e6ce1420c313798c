"""What would be trained, shown instead of trained (--debug_dataset)."""

from functools import partial

from sd_scripts.library.data import debug_dataset
from sd_scripts.library.data.read_dataset import open_data
from sd_scripts.library.models.clip_tokenizer import clip_tokenizer, count_tokens, count_weighted_tokens
from sd_scripts.library.report import Report
from sd_scripts.library.train.course import course_of
from sd_scripts.options.trainer import TrainerOptions


def show_dataset(options: TrainerOptions, report: Report) -> None:
    """Shows pictures, captions and buckets; of the model only the tokenizer is needed."""
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
