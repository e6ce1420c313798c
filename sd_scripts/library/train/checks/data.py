"""What must be true of the training data before a model is loaded. Needs no torch."""

from pathlib import Path

from sd_scripts.library.data.dataset_class import KEEPING_MEMBERS, find_class
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.images import find_images
from sd_scripts.library.data.masks import OPTION
from sd_scripts.library.data.picture_rules import check_caching
from sd_scripts.library.data.subset_reader import check_sizes
from sd_scripts.library.data.subsets import Dataset, Subset, told_of
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.metadata import read_entries
from sd_scripts.options.data import DataOptions, ResolutionOptions
from sd_scripts.options.model import TextCacheOptions
from sd_scripts.options.pictures import MaskOptions
from sd_scripts.options.trainer import NetworkTrainerOptions, TrainerOptions


def check_data(options: TrainerOptions) -> None:
    """The datasets are described without mistakes, and their metadata files and folders are there."""
    data, sizes = options.data, options.resolution
    check_readers(data)
    check_caches(sizes)
    if data.dataset_class:
        if data.dataset_config:
            raise BadOption("dataset_config", "--dataset_config and --dataset_class exclude each other: use one.")
        if options.text_cache.cache_text_encoder_outputs_to_disk:
            option = caching_option(options.text_cache)
            sentence = f"--{option} is for pictures; with --dataset_class use --cache_text_encoder_outputs."
            raise BadOption(option, sentence)
        _check_class_keeps_latents(sizes, find_class(data.dataset_class))
        return
    datasets = asked_datasets(options)
    check_masks(options.masks, [subset for dataset in datasets for subset in dataset.subsets])
    for dataset in datasets:
        for subset in dataset.subsets:
            with told_of(subset.where):
                _check_subset(dataset, subset)
                check_agrees(options, subset)


def check_caches(sizes: ResolutionOptions) -> None:
    """What was kept is looked at closely, or not at all. Errors: BadOption."""
    if sizes.skip_cache_check and sizes.verify_cache:
        sentence = "--verify_cache and --skip_cache_check exclude each other. Leave out one of the two."
        raise BadOption("verify_cache", sentence)


def check_agrees(options: TrainerOptions, subset: Subset) -> None:
    """What is asked of a subset goes with the other options; no file is opened. Errors: BadOption."""
    if subset.strength != 1.0 and not isinstance(options, NetworkTrainerOptions):
        sentence = "network_multiplier is for networks (LoRA), and none is trained here. Leave it out."
        raise BadOption("network_multiplier", sentence)
    if subset.captions.changing and options.text_cache.asked:
        raise _changing_captions(options.text_cache)
    for option in (name for name in ("cache_latents", "cache_latents_to_disk") if getattr(options.resolution, name)):
        check_caching(subset.pictures, option)


def check_texts_frozen(cache: TextCacheOptions, trained_by: str | None) -> None:
    """What text encoders make of captions is not kept where one is trained, by an option or by itself.

    Errors: BadOption.
    """
    if not cache.asked:
        return
    option = caching_option(cache)
    sentence = "what a text encoder makes of captions changes while it is trained"
    if trained_by:
        raise BadOption(option, f"--{option} does not go with --{trained_by}: {sentence}. Leave out one of the two.")
    raise BadOption(option, f"--{option} needs --stop_text_encoder_training 0: {sentence}.")


def _changing_captions(cache: TextCacheOptions) -> BadOption:
    option = caching_option(cache)
    sentence = "shuffling, wildcards, dropped tags and their warm-up give a picture another caption each time"
    return BadOption(option, f"--{option}: {sentence}. Leave out one of the two.")


def caching_option(cache: TextCacheOptions) -> str:
    """The option by which captions are encoded before training."""
    to_disk = cache.cache_text_encoder_outputs_to_disk
    return "cache_text_encoder_outputs_to_disk" if to_disk else "cache_text_encoder_outputs"


def check_masks(masks: MaskOptions, subsets: list[Subset]) -> None:
    """Masks are there where they are asked for, and are asked for where they are there. Errors: BadOption."""
    with_masks = next((subset for subset in subsets if subset.mask_dir), None)
    if with_masks and not masks.masked_loss:
        sentence = f"--{OPTION} {with_masks.mask_dir} is not used without --masked_loss. Add that, or leave this out."
        raise BadOption(OPTION, f"{with_masks.where}: {sentence}" if with_masks.where else sentence)
    if masks.masked_loss and not (with_masks or any(subset.pictures.alpha_mask for subset in subsets)):
        sentence = f"--masked_loss has no masks. Name a folder of them with --{OPTION}, or add --alpha_mask."
        raise BadOption("masked_loss", sentence)


def _check_class_keeps_latents(resolution: ResolutionOptions, found: type) -> None:
    """Latents can be kept only in data that take them."""
    if resolution.cache_latents_to_disk:
        sentence = "--cache_latents_to_disk is for pictures: a --dataset_class keeps latents itself. Leave it out."
        raise BadOption("cache_latents_to_disk", sentence)
    missing = [name for name in KEEPING_MEMBERS if not hasattr(found, name)]
    if resolution.cache_latents and missing:
        sentence = f"--cache_latents needs a --dataset_class that has {', '.join(missing)}. Leave it out."
        raise BadOption("cache_latents", sentence)


def _check_subset(dataset: Dataset, subset: Subset) -> None:
    file = "metadata_file" if subset.where else "in_json"
    entries = read_entries(subset.metadata_file, file) if subset.metadata_file else iter(())
    prepared = ["train_resolution" in entry for _, entry in entries]
    if prepared or not subset.metadata_file:
        check_sizes(dataset, subset, any(prepared))
    if subset.mask_dir:
        find_images(subset.mask_dir, recursive=True, option=OPTION)
    if subset.image_dir and not Path(subset.image_dir).is_dir():
        option = subset.folder_option
        raise BadOption(option, f"--{option} {subset.image_dir}: there is no such folder.")


def check_readers(data: DataOptions) -> None:
    """Only readers that there are can be kept."""
    if data.persistent_data_loader_workers and not data.max_data_loader_n_workers:
        sentence = "--persistent_data_loader_workers needs readers: --max_data_loader_n_workers 1 or more."
        raise BadOption("persistent_data_loader_workers", sentence)
