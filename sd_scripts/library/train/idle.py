"""Options of length, formats, saving and samples that are given and do nothing beside others. Needs no torch."""

from collections.abc import Iterator

from sd_scripts.library.train.settings import TrainingSettings
from sd_scripts.options.training import LengthOptions, SampleOptions, SavingOptions


def idle_settings(options: TrainingSettings) -> Iterator[str]:
    """A sentence for each of them."""
    yield from _about_length(options.length)
    if options.model.no_half_vae and options.precision.mixed_precision == "no":
        yield "--no_half_vae changes nothing with --mixed_precision no, which is exact throughout."
    yield from _about_saving(options.saving)
    yield from _about_samples(options.samples)


def _about_length(length: LengthOptions) -> Iterator[str]:
    if length.max_train_epochs is not None and length.max_train_steps != LengthOptions().max_train_steps:
        yield "--max_train_steps is not used: --max_train_epochs decides the length."


def _about_saving(saving: SavingOptions) -> Iterator[str]:
    if saving.save_n_epoch_ratio and saving.save_every_n_epochs:
        yield "--save_every_n_epochs is not used: --save_n_epoch_ratio decides how often is saved."


def _about_samples(samples: SampleOptions) -> Iterator[str]:
    by_epochs, by_steps = samples.sample_every_n_epochs, samples.sample_every_n_steps
    if by_epochs and by_steps:
        yield "--sample_every_n_steps is not used: --sample_every_n_epochs wins over it."
    if samples.sample_prompts and not (by_epochs or by_steps or samples.sample_at_first):
        when = "--sample_every_n_epochs, --sample_every_n_steps or --sample_at_first"
        yield f"--sample_prompts: no samples are drawn without {when}."
    if samples.sample_sampler != SampleOptions().sample_sampler and not samples.sample_prompts:
        yield "--sample_sampler changes nothing without --sample_prompts."
