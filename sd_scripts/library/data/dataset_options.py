"""From options to the datasets that are asked for: a file of them, or the one of the command line. Needs no torch."""

from dataclasses import replace
from typing import Any, Protocol

from sd_scripts.library.data.buckets import BucketRules, checked_rules, parse_resolution
from sd_scripts.library.data.caption_rules import caption_rules
from sd_scripts.library.data.captions import checked_extension
from sd_scripts.library.data.dataset_config import NAMES_OF_OPTIONS, SPECS, DatasetTables, Table, read_dataset_config
from sd_scripts.library.data.dreambooth import named_folders
from sd_scripts.library.data.picture_rules import picture_rules
from sd_scripts.library.data.subsets import Dataset, Subset, told_of
from sd_scripts.library.data.templates import asked_templates
from sd_scripts.library.errors import BadOption
from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.data import DataOptions, DreamBoothDataOptions, FineTuneDataOptions, ResolutionOptions
from sd_scripts.options.pictures import MaskOptions, PictureOptions
from sd_scripts.options.spec import flat_values, from_values
from sd_scripts.options.training import LengthOptions


class DataSettings(Protocol):
    """The options that training data are made from; a part of every trainer's options."""

    @property
    def data(self) -> DataOptions:
        """Which pictures; each script has those of its method."""

    captions: CaptionOptions
    pictures: PictureOptions
    masks: MaskOptions
    resolution: ResolutionOptions
    length: LengthOptions


def asked_datasets(options: DataSettings) -> list[Dataset]:
    """The datasets that the options ask for. Errors: BadOption, BadFile."""
    given = flat_values(options)
    fallback = {key: given[flag] for key in SPECS if (flag := NAMES_OF_OPTIONS.get(key, key)) in given}
    # Folders say their repeats in their names, so not every script has an option for them.
    fallback = {"num_repeats": 1} | fallback
    templates = asked_templates(given)
    if options.data.dataset_config:
        read = read_dataset_config(options.data.dataset_config)
        return [_templated(_dataset(tables, fallback), templates) for tables in read]
    masks = {"conditioning_data_dir": options.masks.conditioning_data_dir}
    sources = tuple(Table("", ({} if source.get("is_reg") else masks) | source) for source in _sources(options.data))
    return [_templated(_dataset(DatasetTables(Table("", {}), sources), fallback), templates)]


def unused_options(data: DataOptions) -> list[str]:
    """The options that do not count beside a --dataset_config."""
    return [f"--{name}" for name in ("in_json", "train_data_dir", "reg_data_dir") if getattr(data, name, None)]


def rules_of(options: ResolutionOptions) -> BucketRules | None:
    """The bucket rules of a training; None where no resolution is given. Errors: BadOption."""
    if options.resolution is None:
        return None
    rules = BucketRules(
        parse_resolution(options.resolution, "resolution"),
        options.min_bucket_reso,
        options.max_bucket_reso,
        options.bucket_reso_steps,
        options.bucket_no_upscale,
        one_size=not options.enable_bucket,
    )
    return checked_rules(rules, "resolution")


def _dataset(tables: DatasetTables, fallback: dict[str, Any]) -> Dataset:
    own = tables.dataset.values
    values = fallback | own
    with told_of(tables.dataset.where):
        rules = rules_of(from_values(ResolutionOptions, values))
    subsets = tuple(_subset(table, fallback | table.values) for table in tables.subsets)
    if all(subset.is_reg for subset in subsets):
        sentence = f"{tables.dataset.where}: it has regularisation pictures (is_reg) only. Give it pictures to learn."
        raise BadOption("dataset_config", sentence)
    return Dataset(
        subsets,
        rules,
        values["batch_size"],
        own_sizes="resolution" in own,
        held_out_share=values.get("validation_split", 0.0),
        held_out_seed=values.get("validation_seed") or 0,
    )


def _templated(dataset: Dataset, templates: tuple[str, ...]) -> Dataset:
    """With captions for what is to be learnt; regularisation pictures keep their own."""
    subsets = (
        subset if subset.is_reg else replace(subset, captions=replace(subset.captions, templates=templates))
        for subset in dataset.subsets
    )
    return replace(dataset, subsets=tuple(subsets))


def _subset(table: Table, values: dict[str, Any]) -> Subset:
    with told_of(table.where):
        return Subset(
            metadata_file=values.get("metadata_file"),
            image_dir=values.get("image_dir"),
            where=table.where,
            repeats=values["num_repeats"],
            captions=caption_rules(from_values(CaptionOptions, values)),
            pictures=picture_rules(from_values(PictureOptions, values)),
            class_tokens=values.get("class_tokens"),
            is_reg=values.get("is_reg", False),
            mask_dir=values.get("conditioning_data_dir"),
            caption_extension=checked_extension(values["caption_extension"]),
            cache_info=values["cache_info"],
            strength=values.get("network_multiplier", 1.0),
        )


def _sources(data: DataOptions) -> list[dict[str, Any]]:
    """What the command line says of each subset. Errors: BadOption."""
    if isinstance(data, FineTuneDataOptions) and data.in_json:
        _check_folder_options(data)
        if isinstance(data, DreamBoothDataOptions) and data.reg_data_dir:
            sentence = "--reg_data_dir does not go with --in_json: name folders with --train_data_dir alone."
            raise BadOption("reg_data_dir", sentence)
        return [{"metadata_file": data.in_json, "image_dir": data.train_data_dir}]
    if not isinstance(data, DreamBoothDataOptions):
        raise BadOption(
            "in_json",
            "--in_json is needed: the metadata file that names the pictures and their texts. "
            "Or describe the data in a file, and name it with --dataset_config.",
        )
    if not data.train_data_dir:
        raise BadOption(
            "train_data_dir",
            '--train_data_dir is needed: a folder of folders named repeats_words, such as "10_sks dog". '
            "Or describe the data in a file, and name it with --dataset_config.",
        )
    learnt = _folder_sources(data.train_data_dir, "train_data_dir")
    kept = _folder_sources(data.reg_data_dir, "reg_data_dir") if data.reg_data_dir else []
    return learnt + [source | {"is_reg": True} for source in kept]


def _folder_sources(parent: str, option: str) -> list[dict[str, Any]]:
    return [
        {"image_dir": str(folder.path), "num_repeats": folder.repeats, "class_tokens": folder.words or None}
        for folder in named_folders(parent, option)
    ]


def _check_folder_options(data: FineTuneDataOptions) -> None:
    """Options of picture folders have no effect on a metadata file."""
    for name in ("cache_info", "caption_extension"):
        if getattr(data, name) != getattr(FineTuneDataOptions(), name):
            raise BadOption(
                name,
                f"--{name} is for folders of pictures that no metadata file describes; "
                "--in_json has captions of its own. Leave it out.",
            )
