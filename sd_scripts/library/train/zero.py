"""DeepSpeed's ZeRO: its configuration, its steps, and its weights and states in one piece.

Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020.
DeepSpeed itself is imported late: it is no dependency.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.systems import free_port
from sd_scripts.library.team import launched
from sd_scripts.library.train.replaced import replace_in_state
from sd_scripts.library.train.stepping import UNKNOWN_NORM, Finished
from sd_scripts.options.device import DeepSpeedOptions
from sd_scripts.options.trainer import TrainerOptions

_TAG = "parts"
_COMPUTED_IN = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def plugin(options: TrainerOptions) -> Any:
    """accelerate's DeepSpeedPlugin for the options."""
    from accelerate.utils import DeepSpeedPlugin

    _stand_alone()
    settings = options.zero
    made = DeepSpeedPlugin(
        zero_stage=settings.zero_stage,
        # The loop weighs its batches itself, so that to DeepSpeed each is a whole step's.
        gradient_accumulation_steps=1,
        gradient_clipping=options.optimizer.max_grad_norm,
        offload_optimizer_device=settings.offload_optimizer_device or "none",
        offload_optimizer_nvme_path=settings.offload_optimizer_nvme_path,
        offload_param_device=settings.offload_param_device or "none",
        offload_param_nvme_path=settings.offload_param_nvme_path,
        zero3_init_flag=settings.zero3_init_flag,
        zero3_save_16bit_model=settings.zero3_save_16bit_model,
    )
    made.deepspeed_config |= _more(options)
    return made


def check_drives(settings: DeepSpeedOptions) -> None:
    """DeepSpeed can reach an NVMe drive from here, where one is asked for. Errors: BadOption."""
    for what in ("optimizer", "param"):
        if getattr(settings, f"offload_{what}_device") == "nvme":
            from deepspeed.ops.op_builder import AsyncIOBuilder

            if not AsyncIOBuilder().is_compatible():
                sentence = "DeepSpeed cannot reach drives here: it needs the system's library libaio. Use cpu."
                raise BadOption(f"offload_{what}_device", f"--offload_{what}_device nvme: {sentence}")


def _more(options: TrainerOptions) -> dict[str, Any]:
    """What the plugin has no arguments for."""
    batch_size, processes = options.length.train_batch_size, launched().size
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": batch_size,
        "train_batch_size": batch_size * processes,
        # Any optimizer may lie in RAM, not only DeepSpeed's own.
        "zero_force_ds_cpu_optimizer": False,
    }
    if options.precision.mixed_precision == "fp16":
        master = options.zero.fp16_master_weights_and_gradients
        config["fp16"] = {"enabled": True, "fp16_master_weights_and_grads": master}
    return config


def _stand_alone() -> None:
    """One process that nobody launched is the first and last of its group."""
    if "RANK" not in os.environ:
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}


def engine_of(accelerator: Any) -> Any:
    """DeepSpeed's engine once the accelerator has prepared the model; None without DeepSpeed."""
    wrapped = getattr(accelerator, "deepspeed_engine_wrapped", None)
    return wrapped.engine if wrapped else None


def divide(modules: Iterable[nn.Module], accelerator: Any) -> None:
    """Gives each process its part of the weights before they go to the device (zero3_init_flag)."""
    import deepspeed

    for module in modules:
        # DeepSpeed casts what it trains, but not what is divided already.
        nn.Module.to(module, _COMPUTED_IN[accelerator.mixed_precision])
        deepspeed.zero.Init(module=module, config_dict_or_path=accelerator.deepspeed_plugin.deepspeed_config)


def is_divided(module: nn.Module) -> bool:
    """Whether each process has but a part of a module's weights, which lies where it belongs."""
    return any(hasattr(parameter, "ds_id") for parameter in module.parameters())


@dataclass(frozen=True)
class DividedSteps:
    """The Steps that DeepSpeed's engine makes: it exchanges and clips gradients itself.

    In fp16 it leaves out what overflows; else a gradient that is no number is in the weights before anyone sees it.
    """

    engine: Any
    apart: ClassVar[bool] = True
    whole: ClassVar[bool] = False

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """The engine sees to it."""
        return nullcontext()

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Adds up gradients; with the last batch of a window they are complete."""
        self.engine.set_gradient_accumulation_boundary(is_boundary=last)
        self.engine.backward(loss)

    def finish(self, loss: torch.Tensor) -> Finished:
        """The optimizer's step, and the norm of its gradient; -1 where stage 0 does not tell it."""
        self.engine.step()
        norm = self.engine.get_global_grad_norm()
        return Finished(torch.as_tensor(UNKNOWN_NORM if norm is None else norm))

    def go_on(self) -> None:
        """Steps were taken all the time."""


@contextmanager
def whole_weights(modules: Iterable[nn.Module], engine: Any, main: bool) -> Iterator[None]:
    """Meanwhile state_dict gives whole weights in the main process. All processes enter together.

    They are the exact ones that the optimizer holds, or with zero3_save_16bit_model those that are computed with.
    """
    handles = [replace_in_state(module, _gathered(module, engine, main)) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def write_parts(engine: Any, state: Path) -> None:
    """Each process writes its part, beside the state folder that they belong in. All processes call this together.

    Errors: OSError, where this one could not write its own: only after all have been through it.
    """
    plain = engine.checkpoint_engine
    writer = engine.checkpoint_engine = _Forbearing(plain)
    try:
        engine.save_checkpoint(str(parts_beside(state)), tag=_TAG, save_latest=False)
    finally:
        engine.checkpoint_engine = plain
    if writer.trouble is not None:
        raise writer.trouble


class _Forbearing:
    """DeepSpeed's writer of files, which keeps an error until all have written: the others wait for this process
    before and after, so one that left in between would keep them for ever."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self.trouble: Exception | None = None

    def save(self, *words: Any, **named: Any) -> Any:
        """Writes a file."""
        return self._kept("save", *words, **named)

    def makedirs(self, *words: Any, **named: Any) -> Any:
        """Makes a folder."""
        return self._kept("makedirs", *words, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def _kept(self, name: str, *words: Any, **named: Any) -> Any:
        try:
            return getattr(self._plain, name)(*words, **named)
        except (OSError, RuntimeError) as error:
            self.trouble = self.trouble or error
            return None


def parts_beside(state: Path) -> Path:
    """Where the parts lie until the state takes them in."""
    return state.with_name(state.name + "-parts")


def read_parts(engine: Any, folder: Path) -> None:
    """Each process reads its part. Of the pickles nothing but tensors and DeepSpeed's own records is read.

    Errors: BadOption.
    """
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        with torch.serialization.safe_globals(_records()):
            path, _ = engine.load_checkpoint(str(folder), tag=_TAG, load_lr_scheduler_states=False)
    finally:
        del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
    if path is None:
        sentence = "it has no parts of DeepSpeed, or not of as many processes. Train as when it was saved."
        raise BadOption("resume", f"--resume {folder.parent}: {sentence}")


def kind(options: TrainerOptions, processes: int) -> str:
    """What a state's optimizer is divided into: such states fit each other only."""
    if not options.zero.deepspeed:
        return ""
    offload = options.zero.offload_optimizer_device
    where = f" and {offload}" if offload else ""
    return f" by DeepSpeed with stage {options.zero.zero_stage}{where} on {processes} processes"


def _gathered(module: nn.Module, engine: Any, main: bool) -> dict[str, torch.Tensor]:
    gathered = {}
    for name, parameter in module.named_parameters():
        whole = _whole(parameter, exact=not engine.zero_gather_16bit_weights_on_model_save())
        if main:
            gathered[name] = whole
    return gathered


@torch.no_grad()
def _whole(parameter: nn.Parameter, exact: bool) -> torch.Tensor:
    import deepspeed

    if exact and (held := deepspeed.utils.safe_get_full_fp32_param(parameter)) is not None:
        return held.detach().cpu().view(getattr(parameter, "ds_shape", parameter.shape)).clone()
    if not hasattr(parameter, "ds_id"):
        return parameter.detach().cpu().clone()
    with deepspeed.zero.GatheredParameters([parameter]):
        return parameter.detach().cpu().clone()


def _records() -> list[Any]:
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]
