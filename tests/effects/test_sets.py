"""Effects of the options of datasets, and of where latents are kept."""

from pathlib import Path

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

SETS = str(Path(__file__).with_name("sets.toml"))
FOLDERS = {"dataset_config": SETS}
PREPARED = {"in_json": "{here}/prepared/meta.json", "train_data_dir": "{here}/prepared", "resolution": None}

ROWS = [
    seen("dataset_config", SETS, "losses", "header", "said"),
    seen("dataset_class", "tests.effects.squares.Squares", "losses", "header"),
    refused("dataset_class", "tests.effects.squares.Squares", "exclude each other", **FOLDERS),
    seen("caption_extension", ".txt", "losses", "said", **FOLDERS),
    refused("caption_extension", ".txt", "is for folders of pictures that no metadata file describes"),
    Effect("cache_info", True, ("files", "said"), FOLDERS, unseen_in=("losses", "weights")),
    refused("cache_info", True, "is for folders of pictures that no metadata file describes"),
    seen("cache_latents_to_disk", True, "files", "said", "computed"),
    # The prepared latents come from another VAE.
    seen("skip_cache_check", True, "losses", "said", **PREPARED, vae="{here}/other.safetensors"),
    Effect("verify_cache", True, ("said",), PREPARED, ("losses", "weights"), says="are right, 0 are not"),
    refused("verify_cache", True, "exclude each other", skip_cache_check=True),
    Effect(
        "persistent_data_loader_workers",
        True,
        ("threads",),
        {"max_data_loader_n_workers": 2, "max_train_steps": 4},
        unseen_in=("losses", "weights"),
    ),
]

test_it_changes_what_it_should = checked(ROWS)
