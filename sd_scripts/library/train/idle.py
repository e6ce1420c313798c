"""Options of length, formats, saving and samples that are given and do nothing beside others. Needs no torch."""

from collections.abc import Iterator

from sd_scripts.library.notice import Notice
from sd_scripts.options.device import ParallelOptions
from sd_scripts.options.method import TextStopOptions
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.training import LengthOptions, PrecisionOptions, SampleOptions, SavingOptions


def idle_settings(options: TrainerOptions) -> Iterator[Notice]:
    """A sentence for each of them."""
    yield from _about_length(options.length)
    if options.model.no_half_vae and options.precision.mixed_precision == "no":
        sentence = "--no_half_vae changes nothing with --mixed_precision no, which is exact throughout."
        yield Notice("no_half_vae", sentence)
    yield from _about_saving(options.saving)
    yield from _about_samples(options.samples)


def idle_without_gpu(precision: PrecisionOptions) -> Iterator[Notice]:
    """A sentence for each option about the GPU's memory, where there is none."""
    for option in ("lowram", "highvram"):
        if getattr(precision, option):
            yield Notice(option, f"--{option} has no effect: there is no GPU.")


def idle_levels(precision: PrecisionOptions, levels: int) -> Iterator[Notice]:
    """A sentence where recomputation is to be in no fewer levels than the U-Net has."""
    asked, option = precision.gradient_checkpointing_levels, "gradient_checkpointing_levels"
    if asked is not None and asked >= levels:
        sentence = f"the U-Net has {levels} levels, and all of them are recomputed."
        yield Notice(option, f"--{option} {asked} changes nothing: {sentence}")


def idle_alone(parallel: ParallelOptions, processes: int) -> Iterator[Notice]:
    """A sentence for each option for several processes that is given to one."""
    for option in ("ddp_timeout", "ddp_gradient_as_bucket_view", "ddp_static_graph"):
        if processes == 1 and getattr(parallel, option):
            yield Notice(option, f"--{option} has no effect: there is one process.")


def idle_text_stop(parts: TextStopOptions, options: TrainerOptions) -> Iterator[Notice]:
    """A stop of the text encoder's training that comes too late, or to what is not trained."""
    option, stop = "stop_text_encoder_training", parts.stop_text_encoder_training
    if not stop or stop < 0:
        return
    if options.text_stop is None:
        yield Notice(option, f"--{option} has no effect: no text encoder is trained.")
    elif options.length.max_train_epochs is None and stop >= options.length.max_train_steps:
        sentence = f"all {options.length.max_train_steps:,} steps train the text encoder."
        yield Notice(option, f"--{option} {stop} changes nothing: {sentence}")


def _about_length(length: LengthOptions) -> Iterator[Notice]:
    if length.max_train_epochs is not None and length.max_train_steps != LengthOptions().max_train_steps:
        sentence = "--max_train_steps is not used: --max_train_epochs decides the length."
        yield Notice("max_train_steps", sentence)


def _about_saving(saving: SavingOptions) -> Iterator[Notice]:
    if saving.save_n_epoch_ratio and saving.save_every_n_epochs:
        sentence = "--save_every_n_epochs is not used: --save_n_epoch_ratio decides how often is saved."
        yield Notice("save_every_n_epochs", sentence)


def _about_samples(samples: SampleOptions) -> Iterator[Notice]:
    by_epochs, by_steps = samples.sample_every_n_epochs, samples.sample_every_n_steps
    if by_epochs and by_steps:
        sentence = "--sample_every_n_steps is not used: --sample_every_n_epochs wins over it."
        yield Notice("sample_every_n_steps", sentence)
    if samples.sample_prompts and not (by_epochs or by_steps or samples.sample_at_first):
        when = "--sample_every_n_epochs, --sample_every_n_steps or --sample_at_first"
        yield Notice("sample_prompts", f"--sample_prompts: no samples are drawn without {when}.")
    for option in ("sample_sampler", "sample_batch_size"):
        if getattr(samples, option) != getattr(SampleOptions(), option) and not samples.sample_prompts:
            yield Notice(option, f"--{option} changes nothing without --sample_prompts.")
