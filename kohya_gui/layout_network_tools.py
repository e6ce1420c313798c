"""Where the options of the tools for networks stand in their forms; see layout.py."""

from kohya_gui.places import NEVER, Layout, absent, given, one_of

_ONE = absent("sd_model")


def _mode(name: str) -> dict[str, dict[str, object]]:
    """The numbers of one way to find ranks."""
    number = "dim" if name == "fixed" else name
    return {f"{part}_{number}": one_of("mode", name) for part in ("linear", "conv")}


NETWORK_TOOL_LAYOUTS: dict[str, Layout] = {
    "merge_lora": Layout(
        groups={"networks_in": "models ratios sd_model v2", "written": "save_to save_precision"},
        sections={"more": "precision concat shuffle no_metadata"},
        shown={"concat": _ONE, "shuffle": _ONE, "v2": given("sd_model")},
    ),
    "sdxl_merge_lora": Layout(
        groups={"networks_in": "models ratios sd_model", "written": "save_to save_precision"},
        sections={"more": "lbws precision concat shuffle no_metadata"},
        shown={"concat": _ONE, "shuffle": _ONE},
    ),
    "svd_merge_lora": Layout(
        groups={"networks_in": "models ratios new_rank new_conv_rank", "written": "save_to save_precision"},
        sections={"more": "lbws precision device no_metadata"},
    ),
    "resize_lora": Layout(
        groups={
            "ranks": "model new_rank new_conv_rank dynamic_method dynamic_param",
            "written": "save_to save_precision",
        },
        sections={"more": "device verbose"},
        shown={"dynamic_param": given("dynamic_method")},
    ),
    "check_lora": Layout(groups={"networks_in": "file show_all_keys"}, sections={}),
    "extract_lora": Layout(
        groups={"two_models": "model_org model_tuned v2 sdxl dim conv_dim", "written": "save_to save_precision"},
        sections={
            "more": "min_diff clamp_quantile v_parameterization no_metadata",
            "memory": "device load_precision load_original_model_to load_tuned_model_to",
        },
        shown={"v2": absent("sdxl")},
    ),
    "split_dylora": Layout(groups={"networks_in": "model unit", "written": "save_to"}, sections={}),
    "lora_words": Layout(groups={"networks_in": "sd_model model v2 batch_size clip_skip"}, sections={}),
    "extract_locon": Layout(
        groups={
            "two_models": "base_model db_model is_v2 is_sdxl",
            "ranks": "mode linear_dim conv_dim linear_threshold conv_threshold linear_ratio conv_ratio linear_quantile"
            " conv_quantile",
            "written": "output_name",
        },
        sections={"more": "use_sparse_bias sparsity disable_cp device safetensors"},
        shown={
            **_mode("fixed"),
            **_mode("threshold"),
            **_mode("ratio"),
            **_mode("quantile"),
            "sparsity": given("use_sparse_bias"),
            "safetensors": NEVER,
            "is_v2": absent("is_sdxl"),
        },
    ),
    "merge_lycoris": Layout(
        groups={"networks_in": "lycoris_model weight base_model is_v2 is_sdxl", "written": "output_name dtype"},
        sections={"more": "device"},
        shown={"is_v2": absent("is_sdxl")},
    ),
}
