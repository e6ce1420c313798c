"""Effects of the options of textual inversion; what it shares with other trainings is proven there."""

from tests.effects.check import checked
from tests.effects.effect import Effect, unlike

SCRIPT = "train_textual_inversion"

ROWS = [
    unlike(SCRIPT, "token_string", "<my-dog>", "header", "said", use_object_template=True),
    Effect("token_string", "my-dog", ("error",), says="stands in no caption of the 3 pictures", script=f"{SCRIPT}.py"),
    unlike(SCRIPT, "init_word", "dog", "losses", "weights", "header", "said"),
    unlike(SCRIPT, "num_vectors_per_token", 2, "losses", "weights", "header"),
    unlike(SCRIPT, "weights", "{here}/word/X.safetensors", "losses", "weights", "said"),
    unlike(SCRIPT, "use_object_template", True, "losses", "weights", "header", "said"),
    unlike(SCRIPT, "use_style_template", True, "losses", "weights", "header", "said"),
    unlike(SCRIPT, "save_model_as", "ckpt", "files"),
]

test_it_changes_what_it_should = checked(ROWS)
