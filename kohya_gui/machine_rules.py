"""Rules of the machine that trains: number formats, steps within the backward pass, DeepSpeed."""

import importlib.util
import re
from collections.abc import Iterator

from kohya_gui import devices, fixes
from kohya_gui.draft import Draft, Finding
from kohya_gui.launching import gpus_named, processes
from kohya_gui.rules import rule
from kohya_gui.stages import LAUNCHED, TRAINERS
from sd_scripts.options.device import DeepSpeedOptions

_ADDRESS = re.compile(r"[0-9A-Za-z:][0-9A-Za-z.:-]*")
_NEEDS: dict[str, tuple[str, tuple[object, ...]]] = {
    "full_fp16": ("mixed_precision", ("fp16",)),
    "full_bf16": ("mixed_precision", ("bf16",)),
    "fp8_base": ("mixed_precision", ("fp16", "bf16")),
    "offload_optimizer_device": ("zero_stage", (1, 2, 3)),
    "offload_optimizer_nvme_path": ("offload_optimizer_device", ("nvme",)),
    "offload_param_device": ("zero_stage", (3,)),
    "offload_param_nvme_path": ("offload_param_device", ("nvme",)),
    "zero3_init_flag": ("zero_stage", (3,)),
    "zero3_save_16bit_model": ("zero_stage", (3,)),
    "fp16_master_weights_and_gradients": ("offload_optimizer_device", ("cpu",)),
}
"""{option: (another one, the values of it that it needs)}."""

MOST_ON_PROCESSOR = 16
"""Processes of a machine without a GPU, which is for trying: each of them holds the whole model."""


@rule(*TRAINERS)
def needs_are_met(draft: Draft) -> Iterator[Finding]:
    """An option that needs a value of another one has it."""
    for flag, (other, values) in _NEEDS.items():
        if draft.get(flag) and draft.get(other) not in values:
            needed = f"{other} {' / '.join(map(str, values))}"
            mend = [fixes.set_to(draft, other, value) for value in values if not other.endswith("path")]
            yield draft.error(flag, "check.needs", *mend, fixes.leave_out(draft, flag), needed=needed)
    if draft.get("dynamo_backend") != "inductor" and not draft.get("torch_compile"):
        mend = [fixes.turn_on(draft, "torch_compile"), fixes.leave_out(draft, "dynamo_backend")]
        yield draft.error("dynamo_backend", "check.needs", *mend, needed="torch_compile")
    if draft.get("fp8_base") and draft.get("train_text_encoder") and draft.get("learning_rate_te") != 0:
        keep = fixes.keep_each(draft, "fp8_base", "train_text_encoder")
        yield draft.error("fp8_base", "check.exclusive", *keep, first="fp8_base", second="train_text_encoder")
    if draft.get("lowram") and draft.get("highvram"):
        keep = fixes.keep_each(draft, "lowram", "highvram")
        yield draft.error("highvram", "check.exclusive", *keep, first="lowram", second="highvram")


@rule(*LAUNCHED)
def launch_possible(draft: Draft) -> Iterator[Finding]:
    """The GPUs that are named are there, one for each process; several machines can find each other."""
    named, there = gpus_named(draft.get("gpu_ids")), len(devices.gpus())
    if draft.get("gpu_ids") and (not named or len(set(named)) < len(named)):
        yield draft.error("gpu_ids", "check.gpu_list", fixes.leave_out(draft, "gpu_ids"))
        return
    gone = [number for number in named if number >= there]
    if gone:
        yield draft.error("gpu_ids", "check.no_gpu", fixes.leave_out(draft, "gpu_ids"), n=gone[0], there=there)
        return
    machines, rank = draft.get("num_machines"), draft.get("machine_rank")
    total, here = processes(draft.values), len(named) or there or MOST_ON_PROCESSOR
    flag = "num_processes" if draft.get("num_processes") else "num_machines"
    if total > here * machines or total % machines:
        fit = fixes.set_to(draft, "num_processes", here * machines)
        key = "check.processes" if there else "check.processes_without_gpu"
        yield draft.error(flag, key, fit, fixes.leave_out(draft, flag), n=total, here=here)
    elif total > machines and not there:
        yield draft.note(flag, "check.on_processor", n=total)
    if rank >= machines:
        yield draft.error("machine_rank", "check.machine_rank", fixes.leave_out(draft, "machine_rank"))
    for flag in ("main_process_ip", "main_process_port"):
        if machines > 1 and not draft.get(flag):
            alone = fixes.leave_out(draft, "num_machines", "machine_rank")
            yield draft.error("num_machines", "check.needs", alone, needed=flag)


@rule(*LAUNCHED)
def address_of_machines(draft: Draft) -> Iterator[Finding]:
    """Machine 0 is named by one address."""
    address = draft.get("main_process_ip")
    if address and not _ADDRESS.fullmatch(address):
        yield draft.error("main_process_ip", "check.address", fixes.leave_out(draft, "main_process_ip"))


@rule(*TRAINERS)
def fused_backward_possible(draft: Draft) -> Iterator[Finding]:
    """Steps within the backward pass know one batch, and gradients that are not scaled."""
    if not draft.get("fused_backward_pass"):
        return
    against = {
        "gradient_accumulation_steps": ((draft.get("gradient_accumulation_steps") or 1) > 1, 1),
        "mixed_precision fp16": (draft.get("mixed_precision") == "fp16", "bf16"),
        "deepspeed": (draft.get("deepspeed"), False),
    }
    flag = "fused_backward_pass"
    for other, (holds, instead) in against.items():
        if holds:
            keep = (fixes.turn_off(draft, flag), fixes.set_to(draft, other.partition(" ")[0], instead))
            yield draft.error(flag, "check.exclusive", *keep, first=flag, second=other)


@rule(*TRAINERS)
def deepspeed_agrees(draft: Draft) -> Iterator[Finding]:
    """DeepSpeed's options need it, and it needs its package and formats of its own."""
    if not draft.get("deepspeed"):
        for flag, default in vars(DeepSpeedOptions()).items():
            if draft.get(flag) != default:
                mend = (fixes.leave_out(draft, flag), fixes.turn_on(draft, "deepspeed"))
                yield draft.error(flag, "check.needs", *mend, needed="deepspeed")
        return
    for flag in ("full_fp16", "full_bf16", "fp8_base", "ddp_gradient_as_bucket_view", "ddp_static_graph"):
        if draft.get(flag):
            keep = fixes.keep_each(draft, flag, "deepspeed")
            yield draft.error(flag, "check.exclusive", *keep, first=flag, second="deepspeed")
    for what in ("optimizer", "param"):
        if draft.get(f"offload_{what}_device") == "nvme" and not draft.get(f"offload_{what}_nvme_path"):
            device, drive = f"offload_{what}_device", f"offload_{what}_nvme_path"
            mend = (fixes.browse(drive), fixes.set_to(draft, device, "cpu"))
            yield draft.error(device, "check.needs", *mend, needed=drive)
    if importlib.util.find_spec("deepspeed") is None:
        yield draft.error("deepspeed", "check.no_deepspeed", fixes.turn_off(draft, "deepspeed"))
