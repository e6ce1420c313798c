"""Effects of the options of training that every method shares: model, length, precision, attention, saving, logging."""

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

SD2 = "{here}/sd2.safetensors"
SAMPLES = {"sample_prompts": "{here}/prompts.txt"}
TWO_SAMPLES = {"sample_prompts": "{here}/prompts2.txt", "sample_at_first": True}
EPOCHS = {"max_train_epochs": 3, "train_batch_size": 3}
STEPS = {"save_every_n_steps": 1, "max_train_steps": 3}
FAR_TOO_HIGH = {"learning_rate": 1e30, "max_grad_norm": 0.0, "max_train_steps": 3}

MODEL = [
    seen("pretrained_model_name_or_path", "{here}/other.safetensors", "losses", "weights"),
    seen("v2", True, "error", pretrained_model_name_or_path=SD2),
    seen("v_parameterization", True, "losses", pretrained_model_name_or_path=SD2, v2=True),
    seen("vae", "{here}/other.safetensors", "losses", "weights"),
    seen("no_half_vae", True, "losses", "computed", mixed_precision="bf16"),
    seen("clip_skip", 2, "losses", "header"),
    seen("max_token_length", 225, "losses", "header"),
    seen("train_text_encoder", True, "weights", "rates"),
]

LENGTH = [
    seen("max_train_steps", 3, "losses", "header"),
    seen("max_train_epochs", 3, "losses", "header"),
    seen("train_batch_size", 1, "losses", "header"),
    seen("gradient_accumulation_steps", 2, "losses", "header", "weights"),
    seen("seed", 2, "losses", "weights", "header"),
]

PRECISION = [
    seen("mixed_precision", "bf16", "losses", "computed", "header"),
    refused("full_fp16", True, "--full_fp16 needs --mixed_precision fp16"),
    seen("gradient_checkpointing", True, "computed", "header"),
]

ATTENTION = [
    # It is what is used anyway.
    refused("sdpa", True, "--sdpa and --mem_eff_attn exclude each other", mem_eff_attn=True),
    seen("mem_eff_attn", True, "computed"),
    refused("xformers", True, "xformers"),
    refused("diffusers_xformers", True, "xformers"),
]

SAVING = [
    Effect("output_dir", "{here}/elsewhere", ("files",), unseen_in=("losses",)),
    # What it does to a training that finds its folder full: tests/stopping.
    refused("fallback_dir", "/dev/null/there", "--fallback_dir /dev/null/there cannot be written to"),
    Effect("output_name", "Y", ("files",), unseen_in=("losses",)),
    seen("save_model_as", "ckpt", "files"),
    seen("use_safetensors", True, "files", save_model_as="diffusers"),
    Effect("save_precision", "fp16", ("weights",), unseen_in=("losses",)),
    seen("save_every_n_epochs", 1, "files", **EPOCHS),
    seen("save_every_n_steps", 1, "files"),
    seen("save_n_epoch_ratio", 2, "files", **EPOCHS),
    seen("save_last_n_epochs", 1, "files", **EPOCHS, save_every_n_epochs=1),
    seen("save_last_n_steps", 1, "files", **STEPS),
    seen("save_state", True, "files", **STEPS),
    seen("save_state_on_train_end", True, "files"),
    seen("save_last_n_epochs_state", 1, "files", **EPOCHS, save_every_n_epochs=1, save_state=True),
    seen("save_last_n_steps_state", 1, "files", **STEPS, save_state=True),
    Effect("on_nonfinite", "skip", ("error", "said"), FAR_TOO_HIGH, says="this step is left out"),
    refused("on_oom", "retry", "--on_oom retry does not go with --fused_backward_pass", fused_backward_pass=True),
    seen("resume", "{here}/state", "losses", "said"),
    seen("branch", "{here}/state", "losses", "said", "header", learning_rate=5e-4),
]

LOGGING = [
    Effect("logging_dir", "{here}/logs", ("files", "logged"), unseen_in=("losses",)),
    seen("log_prefix", "mine-", "files", logging_dir="{here}/logs"),
]

SAMPLING = [
    seen("sample_prompts", "{here}/prompts.txt", "error", sample_at_first=True),
    Effect("sample_at_first", True, ("samples",), SAMPLES, unseen_in=("losses", "weights")),
    Effect("sample_every_n_steps", 1, ("samples",), SAMPLES, unseen_in=("losses", "weights")),
    Effect("sample_every_n_epochs", 1, ("samples",), SAMPLES, unseen_in=("losses", "weights")),
    seen("sample_sampler", "dpmsolver++", "samples", **SAMPLES, sample_at_first=True),
    Effect("sample_batch_size", 1, ("computed",), TWO_SAMPLES, unseen_in=("losses", "weights")),
]

ROWS = [*MODEL, *LENGTH, *PRECISION, *ATTENTION, *SAVING, *LOGGING, *SAMPLING]

test_it_changes_what_it_should = checked(ROWS)
