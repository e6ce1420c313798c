"""Options of the machine that trains: compilation, several processes, DeepSpeed."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.spec import PathTo, Range, Unit

Backends = Literal[
    "eager", "aot_eager", "inductor", "aot_ts_nvfuser", "nvprims_nvfuser", "cudagraphs", "ofi", "fx2trt", "onnxrt",
    "tensort", "ipex", "tvm",
]  # fmt: skip

CompileModes = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]

CUDA_GRAPHS = ("reduce-overhead", "max-autotune")
"""The modes in which a step's kernels are recorded once and replayed together."""


@dataclass(kw_only=True)
class CompileOptions:
    """The model as compiled code."""

    torch_compile: bool = False
    """Compile what is trained before the first step: minutes of waiting, then faster steps."""

    dynamo_backend: Backends = "inductor"
    """Compiler of torch_compile; inductor is PyTorch's own. Some of these names need packages of their makers."""

    compile_mode: CompileModes = "default"
    """What inductor may do: max-autotune tries kernels for long; it and reduce-overhead record CUDA graphs."""

    compile_dynamic: Literal["true", "false", "auto"] = "true"
    """true: one code for all sizes; false: one for each size of pictures and batches, faster; auto: PyTorch decides."""

    compile_cache_size_limit: Annotated[int | None, Range(low=1, high=10_000)] = None
    """At most so many codes of one layer or model; sizes beyond run uncompiled. Empty: PyTorch's own limit, 8."""


@dataclass(kw_only=True)
class ParallelOptions:
    """How several processes started by accelerate launch work together."""

    ddp_timeout: Annotated[int | None, Range(low=1, high=1_000_000), Unit("minutes")] = None
    """Minutes that a process waits for the others before the run fails. Empty: PyTorch's own."""

    ddp_gradient_as_bucket_view: bool = False
    """Gradients lie where they are exchanged, not in a copy: less memory with several processes."""

    ddp_static_graph: bool = False
    """Say that every step computes the same layers, so that less is looked up with several processes."""


@dataclass(kw_only=True)
class DeepSpeedOptions:
    """DeepSpeed's ZeRO: what training needs is divided among processes, or put out of the GPU's memory."""

    deepspeed: bool = False
    """Train with DeepSpeed; needs its package (pip install deepspeed)."""

    zero_stage: Literal[0, 1, 2, 3] = 2
    """What processes divide: 1 the optimizer's memory, 2 gradients too, 3 weights too; 0 nothing."""

    offload_optimizer_device: Literal["cpu", "nvme"] | None = None
    """Where the optimizer's memory lies: cpu (zero_stage 1 to 3) or nvme (zero_stage 3). Empty: on the GPU."""

    offload_optimizer_nvme_path: Annotated[str | None, PathTo("folder")] = None
    """Folder on an NVMe drive for offload_optimizer_device nvme."""

    offload_param_device: Literal["cpu", "nvme"] | None = None
    """Where the weights lie while they are not used: cpu or nvme; needs zero_stage 3. Empty: on the GPU."""

    offload_param_nvme_path: Annotated[str | None, PathTo("folder")] = None
    """Folder on an NVMe drive for offload_param_device nvme."""

    zero3_init_flag: bool = False
    """Divide the weights before they go to the GPU, so that none holds them whole; needs zero_stage 3."""

    zero3_save_16bit_model: bool = False
    """Save the 16-bit weights of mixed precision, not the exact ones: faster, half the size; needs zero_stage 3."""

    fp16_master_weights_and_gradients: bool = False
    """Keep exact weights and gradients in fp16 too; needs fp16, zero_stage 2 and offload_optimizer_device cpu."""
