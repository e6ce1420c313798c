"""Effects of the options that make captions of texts."""

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

STILL = ("losses", "weights")

ARRANGED = [
    seen("keep_tokens_separator", "|||", "losses", shuffle_caption=True, caption_prefix="sks |||"),
    seen("secondary_separator", ";;;", "losses", caption_prefix="one;;;two,"),
    refused("secondary_separator", ", ", "--secondary_separator"),
    seen("caption_tag_dropout_rate", 0.5, "losses", "header"),
    seen("keep_tokens", 3, "losses", caption_tag_dropout_rate=0.5),
    seen("token_warmup_step", 2.0, "losses"),
    seen("token_warmup_step", 0.9, "losses"),
    seen("token_warmup_min", 3, "losses", token_warmup_step=2.0),
    Effect("keep_tokens", 3, ("said",), unseen_in=STILL, says="--keep_tokens changes nothing without"),
    Effect("token_warmup_min", 3, ("said",), unseen_in=STILL, says="--token_warmup_min changes nothing without"),
]

WHOLE = [
    seen("enable_wildcard", True, "losses"),
    seen("caption_prefix", "sks,", "losses"),
    seen("caption_suffix", ", sks", "losses"),
    seen("caption_dropout_rate", 0.9, "losses", "header"),
    seen("caption_dropout_every_n_epochs", 1, "losses", "header"),
    Effect("caption_dropout_every_n_epochs", 5, ("header",), unseen_in=("losses",)),
    seen("weighted_captions", True, "losses"),
    seen("weighted_captions", True, "losses", train_text_encoder=True, max_token_length=150),
]

TRAINED = {"train_text_encoder": True}
SAME = ("losses", "weights")

KEPT = [
    Effect("cache_text_encoder_outputs", True, ("said",), unseen_in=SAME, says="Encoding 3 captions"),
    Effect("cache_text_encoder_outputs_to_disk", True, ("said", "files"), unseen_in=SAME, says="of 3 pictures"),
    refused("cache_text_encoder_outputs", True, "does not go with --train_text_encoder", **TRAINED),
    refused("cache_text_encoder_outputs_to_disk", True, "another caption each time", shuffle_caption=True),
]

ROWS = [*ARRANGED, *WHOLE, *KEPT]

test_it_changes_what_it_should = checked(ROWS)
