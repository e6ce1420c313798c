"""Every script and the options class that declares its command line."""

from sd_scripts.options.captioning import MakeCaptionsByGitOptions, MakeCaptionsOptions
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.latents import PrepareLatentsOptions
from sd_scripts.options.metadata import CleanOptions, MergeCaptionsOptions, MergeTagsOptions
from sd_scripts.options.sdxl_train import SdxlTrainOptions
from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions
from sd_scripts.options.tagging import TagByDeepDanbooruOptions, TagByWd14Options
from sd_scripts.options.train_db import TrainDbOptions
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions
from sd_scripts.options.train_network import TrainNetworkOptions

SCRIPTS: dict[str, type] = {
    "finetune/make_captions.py": MakeCaptionsOptions,
    "finetune/make_captions_by_git.py": MakeCaptionsByGitOptions,
    "finetune/tag_images_by_wd14_tagger.py": TagByWd14Options,
    "finetune/tag_images_by_deepdanbooru.py": TagByDeepDanbooruOptions,
    "finetune/merge_captions_to_metadata.py": MergeCaptionsOptions,
    "finetune/merge_dd_tags_to_metadata.py": MergeTagsOptions,
    "finetune/clean_captions_and_tags.py": CleanOptions,
    "finetune/prepare_buckets_latents.py": PrepareLatentsOptions,
    "fine_tune.py": FineTuneOptions,
    "train_db.py": TrainDbOptions,
    "sdxl_train.py": SdxlTrainOptions,
    "train_network.py": TrainNetworkOptions,
    "sdxl_train_network.py": SdxlTrainNetworkOptions,
    "train_hypernetwork.py": TrainHypernetworkOptions,
}
