"""Effects of the options of the training data."""

from tests.effects.check import checked
from tests.effects.effect import Effect, seen

BUCKETS = {"enable_bucket": True, "min_bucket_reso": 32, "bucket_reso_steps": 16}

PICTURES = [
    seen("train_data_dir", "{here}/taggers", "error"),
    seen("in_json", "{here}/one.json", "losses", "header"),
    seen("dataset_repeats", 3, "losses", "header"),
    seen("debug_dataset", True, "said", "files"),
    Effect("max_data_loader_n_workers", 2, ("threads",), unseen_in=("losses", "weights")),
]

CAPTIONS = [
    seen("shuffle_caption", True, "losses", "header"),
    seen("keep_tokens", 4, "losses", "header", shuffle_caption=True),
    seen("caption_separator", " ", "losses", shuffle_caption=True),
]

SIZES = [
    seen("resolution", "128", "losses", "header"),
    seen("enable_bucket", True, "losses", "header", **{**BUCKETS, "enable_bucket": False}),
    seen("min_bucket_reso", 64, "losses", "header", **{**BUCKETS, "min_bucket_reso": 32}),
    seen("max_bucket_reso", 64, "losses", "header", **BUCKETS),
    seen("bucket_reso_steps", 32, "losses", "header", **BUCKETS),
    seen("bucket_no_upscale", True, "losses", "header", **BUCKETS),
    seen("cache_latents", True, "said", "computed", "header"),
    Effect("vae_batch_size", 3, ("computed",), {"cache_latents": True}),
]

ROWS = [*PICTURES, *CAPTIONS, *SIZES]

test_it_changes_what_it_should = checked(ROWS)
