"""Effects of the options of how pictures are shown."""

from tests.effects.check import checked
from tests.effects.effect import refused, seen

FACES = {"in_json": "{here}/faces.json", "train_data_dir": "{here}/faces"}
PREPARED = {"in_json": "{here}/prepared/meta.json", "train_data_dir": "{here}/prepared"}
MASKS = {"conditioning_data_dir": "{here}/masks"}

ROWS = [
    seen("flip_aug", True, "losses", "header"),
    seen("flip_aug", True, "losses", "computed", cache_latents=True),
    seen("flip_aug", True, "losses", "said", **PREPARED),
    # With this seed the second picture of the first epoch is one of the third that change.
    seen("color_aug", True, "losses", "header", seed=3),
    seen("random_crop", True, "losses", "header"),
    seen("random_crop", True, "losses", "said", **PREPARED),
    seen("face_crop_aug_range", "1,2", "losses", "header", **FACES),
    seen("alpha_mask", True, "losses", "header"),
    seen("alpha_mask", True, "losses", "said", **PREPARED),
    seen("resize_interpolation", "nearest", "losses", "header"),
    seen("resize_interpolation", "lanczos", "losses", "said", **PREPARED),
    seen("masked_loss", True, "losses", "error", **MASKS),
    seen("conditioning_data_dir", "{here}/masks", "losses", "said", masked_loss=True, alpha_mask=True),
    refused("masked_loss", True, "has no masks"),
    refused("conditioning_data_dir", "{here}/masks", "is not used without --masked_loss"),
    refused("color_aug", True, "so --cache_latents has nothing to keep", cache_latents=True),
    refused("random_crop", True, "so --cache_latents_to_disk has nothing to keep", cache_latents_to_disk=True),
    refused("face_crop_aug_range", "4,2", "Write the smaller one first: 2.0,4.0."),
]

test_it_changes_what_it_should = checked(ROWS)
