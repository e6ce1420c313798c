"""Every script and the options class that declares its command line."""

from sd_scripts.options.cache_tools import CacheLatentsOptions, CacheTextsOptions
from sd_scripts.options.captioning import MakeCaptionsByGitOptions, MakeCaptionsOptions
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.gen_img import GenImgOptions
from sd_scripts.options.latents import PrepareLatentsOptions
from sd_scripts.options.metadata import CleanOptions, MergeCaptionsOptions, MergeTagsOptions
from sd_scripts.options.model_tools import (
    ConvertOptions,
    EditMetadataOptions,
    MergeModelsOptions,
    ShowMetadataOptions,
)
from sd_scripts.options.network_tools import (
    CheckLoraOptions,
    ExtractLoconOptions,
    ExtractLoraOptions,
    LoraInterrogatorOptions,
    MergeLoraOldOptions,
    MergeLoraOptions,
    MergeLycorisOptions,
    ResizeLoraOptions,
    SdxlMergeLoraOptions,
    SplitDyloraOptions,
    SvdMergeLoraOptions,
)
from sd_scripts.options.picture_tools import (
    BalanceOptions,
    EditCaptionsOptions,
    GroupImagesOptions,
    MakeFoldersOptions,
    ResizeImagesOptions,
)
from sd_scripts.options.sdxl_train import SdxlTrainOptions
from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions
from sd_scripts.options.sdxl_train_textual_inversion import SdxlTrainTextualInversionOptions
from sd_scripts.options.tagging import TagByDeepDanbooruOptions, TagByWd14Options
from sd_scripts.options.train_db import TrainDbOptions
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions
from sd_scripts.options.train_network import TrainNetworkOptions
from sd_scripts.options.train_textual_inversion import TrainTextualInversionOptions

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
    "gen_img.py": GenImgOptions,
    "train_textual_inversion.py": TrainTextualInversionOptions,
    "sdxl_train_textual_inversion.py": SdxlTrainTextualInversionOptions,
    "sdxl_train_network.py": SdxlTrainNetworkOptions,
    "networks/merge_lora.py": MergeLoraOptions,
    "networks/merge_lora_old.py": MergeLoraOldOptions,
    "networks/sdxl_merge_lora.py": SdxlMergeLoraOptions,
    "networks/svd_merge_lora.py": SvdMergeLoraOptions,
    "networks/resize_lora.py": ResizeLoraOptions,
    "networks/check_lora_weights.py": CheckLoraOptions,
    "networks/extract_lora_from_models.py": ExtractLoraOptions,
    "networks/extract_lora_from_dylora.py": SplitDyloraOptions,
    "networks/lora_interrogator.py": LoraInterrogatorOptions,
    "tools/lycoris_locon_extract.py": ExtractLoconOptions,
    "tools/merge_lycoris.py": MergeLycorisOptions,
    "train_hypernetwork.py": TrainHypernetworkOptions,
    "tools/convert_diffusers20_original_sd.py": ConvertOptions,
    "tools/merge_models.py": MergeModelsOptions,
    "tools/show_metadata.py": ShowMetadataOptions,
    "tools/edit_metadata.py": EditMetadataOptions,
    "tools/cache_latents.py": CacheLatentsOptions,
    "tools/cache_text_encoder_outputs.py": CacheTextsOptions,
    "tools/resize_images_to_resolution.py": ResizeImagesOptions,
    "tools/group_images.py": GroupImagesOptions,
    "tools/dataset_balancing.py": BalanceOptions,
    "tools/make_dreambooth_folders.py": MakeFoldersOptions,
    "tools/edit_captions.py": EditCaptionsOptions,
}
