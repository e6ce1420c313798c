"""Effects of the options of the machine that trains: number formats, memory, compilation, processes, DeepSpeed.

What needs a GPU is in tests/train/test_gpu.py, several processes are in tests/train/test_parallel.py, and DeepSpeed in
tests/train/test_zero.py.
"""

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

BF16 = {"mixed_precision": "bf16"}
STEPS = {"max_train_steps": 3}
CHECKPOINTS = {"gradient_checkpointing": True}
WHOLE = {"optimizer_type": "Prodigy"}
COMPILED = {"torch_compile": True, "dynamo_backend": "eager"}
ALONE = "has no effect: there is one process"

PRECISION = [
    seen("full_bf16", True, "losses", "weights", "computed", **BF16, **STEPS),
    refused("full_bf16", True, "--full_bf16 needs --mixed_precision bf16"),
    seen("stochastic_rounding", True, "losses", "weights", **BF16, full_bf16=True, **STEPS),
    refused("stochastic_rounding", True, "it needs --full_bf16"),
    refused("stochastic_rounding", True, "takes account of whole steps", **BF16, full_bf16=True, **WHOLE),
    Effect("gradient_checkpointing_levels", 1, ("computed",), CHECKPOINTS, unseen_in=("losses", "weights")),
    refused("gradient_checkpointing_levels", 1, "needs --gradient_checkpointing"),
    # Another order of the same sums.
    seen("opt_channels_last", True, "weights"),
    refused("opt_channels_last", True, "does not go with --deepspeed", deepspeed=True),
    seen("fp8_base", True, "losses", "weights", "header", "computed", **BF16),
    refused("fp8_base", True, "--fp8_base needs --mixed_precision bf16 or fp16"),
    refused("fp8_base", True, "every part of the model is trained", **BF16, train_text_encoder=True),
    seen("fused_backward_pass", True, "weights", "computed", **STEPS),
    refused("fused_backward_pass", True, "does not go with --gradient_accum", gradient_accumulation_steps=2),
    seen("fused_optimizer_groups", 3, "weights"),
    refused("fused_optimizer_groups", 3, "Use one of them", fused_backward_pass=True),
    Effect("lowram", True, ("said", "header"), unseen_in=("losses", "weights"), says="there is no GPU"),
    Effect("highvram", True, ("said",), unseen_in=("losses", "weights"), says="there is no GPU"),
]

COMPILATION = [
    # Tracing hides what is computed; that compiled code is called is seen in tests/train/test_compiling.py.
    refused("torch_compile", True, "this PyTorch has no such compiler", dynamo_backend="ofi"),
    refused("dynamo_backend", "eager", "--dynamo_backend eager needs --torch_compile"),
    refused("compile_mode", "max-autotune", "--compile_mode needs --torch_compile"),
    refused("compile_mode", "reduce-overhead", "needs --dynamo_backend inductor", **COMPILED),
    refused("compile_mode", "reduce-overhead", "use --compile_dynamic false", torch_compile=True),
    refused("compile_dynamic", "false", "--compile_dynamic needs --torch_compile"),
    refused("compile_cache_size_limit", 2, "--compile_cache_size_limit needs --torch_compile"),
]

PROCESSES = [
    Effect("ddp_timeout", 5, ("said",), unseen_in=("losses",), says=ALONE),
    Effect("ddp_gradient_as_bucket_view", True, ("said",), unseen_in=("losses",), says=ALONE),
    Effect("ddp_static_graph", True, ("said",), unseen_in=("losses",), says=ALONE),
]

DEEPSPEED = [
    refused("deepspeed", True, "AdaFactor looks at whole matrices", optimizer_type="AdaFactor"),
    refused("zero_stage", 3, "--zero_stage needs --deepspeed"),
    refused("offload_optimizer_device", "cpu", "--offload_optimizer_device needs --deepspeed"),
    refused("offload_optimizer_nvme_path", "{here}", "--offload_optimizer_nvme_path needs --deepspeed"),
    refused("offload_param_device", "cpu", "--offload_param_device needs --deepspeed"),
    refused("offload_param_nvme_path", "{here}", "--offload_param_nvme_path needs --deepspeed"),
    refused("zero3_init_flag", True, "--zero3_init_flag needs --deepspeed"),
    refused("zero3_save_16bit_model", True, "--zero3_save_16bit_model needs --deepspeed"),
    refused("fp16_master_weights_and_gradients", True, "--fp16_master_weights_and_gradients needs --deepspeed"),
]

ROWS = [*PRECISION, *COMPILATION, *PROCESSES, *DEEPSPEED]

test_it_changes_what_it_should = checked(ROWS)
