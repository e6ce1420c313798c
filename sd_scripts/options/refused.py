"""Flags of sd-scripts that a script of ours does not have, each with the sentence that a user gets instead.

The sentence goes on from the flag's name: "--tokenizer_cache_dir is not needed: ...".
"""

_YET = "is not built yet"


def _of(sentence: str, *flags: str) -> dict[str, str]:
    return dict.fromkeys(flags, sentence)


_FINE_TUNE = {
    **_of(
        "is not needed: the tokenizer comes with this program.",
        "tokenizer_cache_dir",
    ),
    **_of(
        f"{_YET}. Use --sdpa and --gradient_checkpointing to save time and memory.",
        "torch_compile", "dynamo_backend", "full_bf16", "fp8_base", "lowram", "highvram", "fused_backward_pass",
    ),
    **_of(
        f"{_YET}. Leave it out: several processes started by accelerate launch train with its defaults.",
        "ddp_timeout", "ddp_gradient_as_bucket_view", "ddp_static_graph", "deepspeed", "zero_stage",
        "offload_optimizer_device", "offload_optimizer_nvme_path", "offload_param_device", "offload_param_nvme_path",
        "zero3_init_flag", "zero3_save_16bit_model", "fp16_master_weights_and_gradients",
    ),
}  # fmt: skip

REFUSED: dict[str, dict[str, str]] = {"fine_tune": _FINE_TUNE}
