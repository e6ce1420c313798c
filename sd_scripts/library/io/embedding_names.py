"""What vectors of new words are called in files of embeddings (formats.md, "Embeddings"). Needs no torch."""

ONE_ENCODER = ("emb_params",)
"""Where a model has one text encoder."""
TWO_ENCODERS = ("clip_l", "clip_g")
"""Those of SDXL's two."""
WEB_TABLE = "string_to_param"
"""The table in which the vectors lie in files of AUTOMATIC1111's web interface."""
