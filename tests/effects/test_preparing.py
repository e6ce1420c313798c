"""Effects of the options of the preparing scripts."""

from typing import Any

from tests.effects.check import checked
from tests.effects.effect import Effect, Field, unlike

BLIP, GIT = "finetune/make_captions", "finetune/make_captions_by_git"
WD14, DEEPDANBOORU = "finetune/tag_images_by_wd14_tagger", "finetune/tag_images_by_deepdanbooru"
MERGE_CAPTIONS, MERGE_TAGS = "finetune/merge_captions_to_metadata", "finetune/merge_dd_tags_to_metadata"
CLEAN, LATENTS = "finetune/clean_captions_and_tags", "finetune/prepare_buckets_latents"


def same_result(script: str, flag: str, value: Any, *seen_in: Field) -> Effect:
    """It changes how the work is done, not what comes of it."""
    return Effect(flag, value, seen_in, unseen_in=("files",), script=f"{script}.py")


DESCRIBING = [
    row
    for script, ending in ((BLIP, ".text"), (GIT, ".text"), (WD14, ".tags"), (DEEPDANBOORU, ".tags"))
    for row in (
        unlike(script, "train_data_dir", "{here}/pictures/below", "files"),
        unlike(script, "recursive", True, "files"),
        unlike(script, "skip_described", True, "files"),
        unlike(script, "fast_decode", True, "computed", train_data_dir="{here}/photos"),
        same_result(script, "debug", True, "said"),
        unlike(script, "caption_extension", ending, "files"),
        same_result(script, "batch_size", 3, "computed"),
        same_result(script, "max_data_loader_n_workers", 1, "threads"),
    )
]

SENTENCES = [
    unlike(BLIP, "caption_weights", "{here}/nowhere", "error"),
    unlike(BLIP, "beam_search", True, "files"),
    unlike(BLIP, "num_beams", 4, "computed", beam_search=True),
    unlike(BLIP, "top_p", 0.1, "files"),
    unlike(BLIP, "max_length", 6, "files"),
    unlike(BLIP, "min_length", 30, "files"),
    unlike(BLIP, "seed", 1, "files"),
    unlike(GIT, "model_id", "{here}/nowhere", "error"),
    unlike(GIT, "max_length", 4, "files"),
    unlike(GIT, "remove_words", True, "files"),
]

MAPPING = {"repo_id": "tiny/mapping", "thresh": 0.9}
"""A tagger that knows every category, and little of each."""

TAGS = [
    unlike(WD14, "repo_id", "tiny/mapping", "files"),
    unlike(WD14, "model_dir", "{here}/deepdanbooru", "error"),
    unlike(WD14, "force_download", True, "error"),
    unlike(WD14, "thresh", 0.6, "files"),
    unlike(WD14, "general_threshold", 0.9, "files"),
    unlike(WD14, "character_threshold", 0.01, "files", thresh=0.99),
    *(
        unlike(WD14, f"{category}_threshold", 0.01, "files", **MAPPING)
        for category in ("meta", "model", "copyright", "artist")
    ),
    unlike(WD14, "undesired_tags", "1girl,solo,smile,long_hair,hat,outdoors,sky,tree", "files", thresh=0.05),
    unlike(WD14, "remove_underscore", True, "files", thresh=0.05),
    unlike(WD14, "append_tags", True, "files"),
    unlike(WD14, "frequency_tags", True, "said"),
    unlike(WD14, "use_rating_tags", True, "files"),
    unlike(WD14, "use_rating_tags_as_last_tag", True, "files"),
    unlike(WD14, "use_quality_tags", True, "files", **MAPPING),
    unlike(WD14, "use_quality_tags_as_last_tag", True, "files", **MAPPING),
    unlike(WD14, "character_tags_first", True, "files", thresh=0.05),
    unlike(WD14, "character_tag_expand", True, "files", thresh=0.05),
    unlike(WD14, "always_first_tags", "sky,tree,hat", "files", thresh=0.05),
    unlike(WD14, "caption_separator", "; ", "files"),
    unlike(WD14, "tag_replacement", "1girl,one;solo,two;sky,three;tree,four;hat,five", "files", thresh=0.05),
    unlike(WD14, "output_path", "{here}/tags.jsonl", "files"),
    unlike(DEEPDANBOORU, "project_path", "{here}/taggers", "error"),
    unlike(DEEPDANBOORU, "model_path", "{here}/nowhere.keras", "error"),
    unlike(DEEPDANBOORU, "tags_path", "{here}/nowhere.txt", "error"),
    unlike(DEEPDANBOORU, "threshold", 0.1, "files"),
]

MERGING = [
    row
    for script, ending in ((MERGE_CAPTIONS, ".txt"), (MERGE_TAGS, ".caption"))
    for row in (
        unlike(script, "train_data_dir", "{here}/pictures/below", "files"),
        unlike(script, "out_json", "{here}/elsewhere.json", "files"),
        unlike(script, "in_json", "{here}/dirty.json", "files"),
        unlike(script, "full_path", True, "files"),
        unlike(script, "recursive", True, "files", full_path=True),
        same_result(script, "debug", True, "said"),
        unlike(script, "caption_extension", ending, "files"),
    )
]

CLEANING = [
    unlike(CLEAN, "in_json", "{here}/one.json", "files"),
    unlike(CLEAN, "out_json", "{here}/elsewhere.json", "files"),
    unlike(CLEAN, "third_file", "{here}/elsewhere.json", "files", out_json="{here}/meta.json"),
    unlike(CLEAN, "rules", "{here}/rules.toml", "files"),
    same_result(CLEAN, "debug", True, "said"),
]

BUCKETS = {"min_bucket_reso": 32, "bucket_reso_steps": 16}

PREPARING = [
    unlike(LATENTS, "train_data_dir", "{here}/pictures/below", "files", in_json="{here}/dirty.json"),
    unlike(LATENTS, "in_json", "{here}/one.json", "files"),
    unlike(LATENTS, "out_json", "{here}/elsewhere.json", "files"),
    unlike(LATENTS, "model_name_or_path", "{here}/other.safetensors", "files"),
    unlike(LATENTS, "v2", True, "error"),
    unlike(LATENTS, "full_path", True, "error"),
    unlike(LATENTS, "recursive", True, "error"),
    unlike(LATENTS, "max_resolution", "128,128", "files"),
    unlike(LATENTS, "mixed_precision", "bf16", "files"),
    unlike(LATENTS, "flip_aug", True, "files"),
    unlike(LATENTS, "alpha_mask", "1", "files"),
    unlike(LATENTS, "resize_interpolation", "nearest", "files"),
    unlike(LATENTS, "fast_decode", True, "files", train_data_dir="{here}/large", in_json="{here}/large.json"),
    unlike(LATENTS, "skip_existing", True, "computed", train_data_dir="{here}/prepared"),
    unlike(LATENTS, "verify_cache", True, "computed", train_data_dir="{here}/prepared"),
    unlike(LATENTS, "min_bucket_reso", 64, "files", **BUCKETS),
    unlike(LATENTS, "max_bucket_reso", 64, "files", **BUCKETS),
    unlike(LATENTS, "bucket_reso_steps", 32, "files", **BUCKETS),
    unlike(LATENTS, "bucket_no_upscale", True, "files", **BUCKETS),
    Effect("batch_size", 3, ("computed",), script=f"{LATENTS}.py"),
    same_result(LATENTS, "max_data_loader_n_workers", 1, "threads"),
]

ROWS = [*DESCRIBING, *SENTENCES, *TAGS, *MERGING, *CLEANING, *PREPARING]

test_it_changes_what_it_should = checked(ROWS)
