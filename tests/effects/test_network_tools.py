"""Effects of the options of the tools for networks."""

from typing import Any

from tests.effects.check import checked
from tests.effects.effect import Effect, Field, unlike

HERE = "{here}"
OTHER_FILE = "{here}/out/Y.safetensors"
NO_SUCH_DEVICE = "cuda:77"


def net(script: str, flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    """An effect of a script in networks/."""
    return unlike(f"networks/{script}", flag, value, *seen_in, **given)


def lycoris(script: str, flag: str, value: Any, *seen_in: Field, **given: Any) -> Effect:
    """An effect of a script in tools/."""
    return unlike(f"tools/{script}", flag, value, *seen_in, **given)


def merging(script: str, second: str = "b") -> list[Effect]:
    """What all that merge have."""
    one = [f"{HERE}/networks/{second}.safetensors"]
    return [
        net(script, "models", one, "weights", "said"),
        net(script, "ratios", [0.5, 2.0], "weights"),
        net(script, "save_to", OTHER_FILE, "files", "said"),
        net(script, "precision", "fp16", "weights"),
        net(script, "save_precision", "bf16", "weights"),
    ]


def joining(script: str, model: str) -> list[Effect]:
    """What those have that merge into a model or put matrices side by side."""
    return [
        net(script, "sd_model", f"{HERE}/{model}.safetensors", "weights", "said", "header"),
        net(script, "concat", True, "weights"),
        net(script, "shuffle", True, "weights", concat=True),
        net(script, "no_metadata", True, "header"),
    ]


MERGE = [
    *merging("merge_lora"),
    *joining("merge_lora", "sd1"),
    net("merge_lora", "v2", True, "error", sd_model=f"{HERE}/sd1.safetensors"),
    *merging("merge_lora_old"),
    net("merge_lora_old", "sd_model", f"{HERE}/sd1.safetensors", "weights", "said"),
    net("merge_lora_old", "v2", True, "error", sd_model=f"{HERE}/sd1.safetensors"),
    *merging("sdxl_merge_lora", second="xl2"),
    *joining("sdxl_merge_lora", "sdxl"),
    net("sdxl_merge_lora", "lbws", ["0.5," * 11 + "1", "1," * 11 + "0"], "weights"),
    *merging("svd_merge_lora"),
    net("svd_merge_lora", "new_rank", 2, "weights", "header"),
    net("svd_merge_lora", "new_conv_rank", 1, "weights"),
    net("svd_merge_lora", "lbws", ["0.5," * 16 + "1", "1," * 16 + "0"], "weights"),
    net("svd_merge_lora", "device", NO_SUCH_DEVICE, "error"),
    net("svd_merge_lora", "no_metadata", True, "header"),
]

SV_FRO = {"dynamic_method": "sv_fro", "dynamic_param": 0.9}
RESIZE = [
    net("resize_lora", "model", f"{HERE}/networks/b.safetensors", "weights"),
    net("resize_lora", "save_to", OTHER_FILE, "files"),
    net("resize_lora", "save_precision", "fp16", "weights"),
    net("resize_lora", "new_rank", 2, "weights", "header", "said"),
    net("resize_lora", "new_conv_rank", 1, "weights", "header"),
    net("resize_lora", "dynamic_method", "sv_cumulative", "weights", "header", **SV_FRO),
    net("resize_lora", "dynamic_param", 0.6, "weights", "header", **SV_FRO),
    net("resize_lora", "verbose", True, "said"),
    net("resize_lora", "device", NO_SUCH_DEVICE, "error"),
]

LOOK = [
    net("check_lora_weights", "file", f"{HERE}/networks/a.safetensors", "said"),
    net("check_lora_weights", "show_all_keys", True, "said"),
    net("extract_lora_from_dylora", "model", f"{HERE}/networks/a.safetensors", "files"),
    net("extract_lora_from_dylora", "save_to", OTHER_FILE, "files"),
    net("extract_lora_from_dylora", "unit", 1, "files", "said"),
    net("lora_interrogator", "sd_model", f"{HERE}/other.safetensors", "said"),
    net("lora_interrogator", "model", f"{HERE}/networks/a.safetensors", "said"),
    net("lora_interrogator", "v2", True, "error"),
    net("lora_interrogator", "batch_size", 2048, "said"),
    net("lora_interrogator", "clip_skip", 2, "said"),
]

SCRIPT = "extract_lora_from_models"
EXTRACT = [
    net(SCRIPT, "model_org", f"{HERE}/other.safetensors", "weights"),
    net(SCRIPT, "model_tuned", f"{HERE}/other.safetensors", "weights"),
    net(SCRIPT, "save_to", OTHER_FILE, "files"),
    net(SCRIPT, "save_precision", "fp16", "weights"),
    net(SCRIPT, "load_precision", "fp16", "weights"),
    net(SCRIPT, "load_original_model_to", NO_SUCH_DEVICE, "error"),
    net(SCRIPT, "load_tuned_model_to", NO_SUCH_DEVICE, "error"),
    net(SCRIPT, "dim", 2, "weights", "header"),
    net(SCRIPT, "conv_dim", 2, "weights", "header"),
    net(SCRIPT, "v2", True, "error"),
    net(SCRIPT, "sdxl", True, "error"),
    net(SCRIPT, "v_parameterization", True, "header"),
    net(SCRIPT, "min_diff", 10.0, "weights", "said"),
    net(SCRIPT, "clamp_quantile", 0.9, "weights"),
    net(SCRIPT, "device", NO_SUCH_DEVICE, "error"),
    net(SCRIPT, "no_metadata", True, "header"),
]


def of_mode(mode: str, part: str, value: float) -> Effect:
    """The number of a mode."""
    return lycoris("lycoris_locon_extract", f"{part}_{mode}", value, "weights", mode=mode)


SPARSE = {"use_sparse_bias": True}
LOCON = [
    lycoris("lycoris_locon_extract", "base_model", f"{HERE}/other.safetensors", "weights"),
    lycoris("lycoris_locon_extract", "db_model", f"{HERE}/other.safetensors", "weights"),
    lycoris("lycoris_locon_extract", "output_name", OTHER_FILE, "files"),
    lycoris("lycoris_locon_extract", "is_v2", True, "error"),
    lycoris("lycoris_locon_extract", "is_sdxl", True, "error"),
    lycoris("lycoris_locon_extract", "device", NO_SUCH_DEVICE, "error"),
    lycoris("lycoris_locon_extract", "mode", "full", "weights"),
    lycoris("lycoris_locon_extract", "safetensors", True, "files", output_name=f"{HERE}/out/Y.pt"),
    lycoris("lycoris_locon_extract", "linear_dim", 2, "weights"),
    lycoris("lycoris_locon_extract", "conv_dim", 2, "weights"),
    *(of_mode(mode, part, 0.5) for mode in ("threshold", "ratio", "quantile") for part in ("linear", "conv")),
    lycoris("lycoris_locon_extract", "use_sparse_bias", True, "weights"),
    lycoris("lycoris_locon_extract", "sparsity", 0.5, "weights", **SPARSE),
    lycoris("lycoris_locon_extract", "disable_cp", True, "weights"),
    lycoris("merge_lycoris", "base_model", f"{HERE}/other.safetensors", "weights"),
    lycoris("merge_lycoris", "lycoris_model", f"{HERE}/networks/b.safetensors", "weights"),
    lycoris("merge_lycoris", "output_name", OTHER_FILE, "files"),
    lycoris("merge_lycoris", "is_v2", True, "error"),
    lycoris("merge_lycoris", "is_sdxl", True, "error"),
    lycoris("merge_lycoris", "device", NO_SUCH_DEVICE, "error"),
    lycoris("merge_lycoris", "dtype", "float16", "weights"),
    lycoris("merge_lycoris", "weight", 0.5, "weights"),
]

ROWS = [*MERGE, *RESIZE, *LOOK, *EXTRACT, *LOCON]

test_it_changes_what_it_should = checked(ROWS)
