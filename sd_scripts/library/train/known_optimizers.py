"""The optimizers that have a short name: where each comes from; and those that this training has no way to run."""

from dataclasses import dataclass, field
from typing import Any

from sd_scripts.options.optimizer import OPTIMIZER_GROUPS


@dataclass(frozen=True)
class Known:
    """An optimizer of the list: its class, its package, and arguments that differ from the class's own defaults."""

    module: str
    class_name: str
    package: str = "torch"
    arguments: dict[str, Any] = field(default_factory=dict)


def _bitsandbytes(class_name: str, **arguments: Any) -> Known:
    return Known("bitsandbytes.optim", class_name, "bitsandbytes", arguments)


def _dadaptation(class_name: str, module: str = "dadaptation") -> Known:
    return Known(module, class_name, "dadaptation")


_NESTEROV = {"momentum": 0.9, "nesterov": True}

KNOWN: dict[str, Known] = {
    # All of it in one kernel.
    "AdamW": Known("torch.optim", "AdamW", arguments={"fused": True}),
    "Lion": Known("lion_pytorch", "Lion", "lion-pytorch"),
    "AdaFactor": Known("transformers.optimization", "Adafactor", "transformers", {"relative_step": True}),
    "SGDNesterov": Known("torch.optim", "SGD", arguments=_NESTEROV),
    **{name: _bitsandbytes(name) for name in OPTIMIZER_GROUPS["low_memory"]},
    "LARS8bit": _bitsandbytes("LARS8bit", momentum=0.9),
    "SGDNesterov8bit": _bitsandbytes("SGD8bit", **_NESTEROV),
    **{name: _dadaptation(name) for name in OPTIMIZER_GROUPS["own_rate"]},
    "Prodigy": Known("prodigyopt", "Prodigy", "prodigyopt"),
    "DAdaptation": _dadaptation("DAdaptAdamPreprint", "dadaptation.experimental"),
    "DAdaptAdamPreprint": _dadaptation("DAdaptAdamPreprint", "dadaptation.experimental"),
    "DAdaptAdanIP": _dadaptation("DAdaptAdanIP", "dadaptation.experimental"),
    **{name: Known("schedulefree", name, "schedulefree") for name in OPTIMIZER_GROUPS["schedule_free"]},
    **{name: Known("torch.optim", name) for name in OPTIMIZER_GROUPS["torch"]},
    "Adam": Known("torch.optim", "Adam", arguments={"fused": True}),
    **{name: Known("pytorch_optimizer", name, "pytorch-optimizer") for name in OPTIMIZER_GROUPS["more"]},
}

MUON = ("AdaGO", "AdaMuon", "Muon", "MuonClip", "NorMuon")
"""Those of pytorch-optimizer that treat matrices and vectors apart, and are told which is which."""

NEEDS_A_RATE = ("DAdaptSGD", "FTRL", "Gravity")
"""Those that divide by the learning rate: it may be 0 in no step."""

_SECOND_ORDER = "needs second derivatives of the loss"
_WHOLE_MODEL = "takes the whole model and changes it while gradients are computed"
_REPEATS = "computes the loss several times in a step"

CANNOT: dict[str, str] = {
    "AdaHessian": _SECOND_ORDER,
    "AdaLOMO": _WHOLE_MODEL,
    "AdaShift": "keeps its memory in a form that no saved state can hold",
    "AdamMini": "takes a language model and looks for its parts by name",
    "AliG": "needs the loss in each step",
    "BSAM": _REPEATS,
    "DeMo": "exchanges gradients between machines by itself",
    "DistributedMuon": "exchanges gradients between machines by itself",
    "LBFGS": _REPEATS,
    "LOMO": _WHOLE_MODEL,
    "LoRARite": "trains pairs of LoRA matrices, which a whole model does not have",
    "SophiaH": _SECOND_ORDER,
    "SparseAdam": "learns from sparse gradients, which no image model has",
    "SpectralSphere": "trains matrices only, and a model has other weights too",
    "SPlus": "cannot show its weights as long as one of them has no gradient",
}
"""Optimizers of torch and pytorch-optimizer that cannot train here, each with its reason."""

KEPT_CLASSES = (
    "pytorch_optimizer.optimizer.scion.LMONorm",
    "pytorch_optimizer.optimizer.utils.galore.GaLoreProjector",
    "pytorch_optimizer.optimizer.utils.graft.AdaGradGraft",
    "pytorch_optimizer.optimizer.utils.graft.Graft",
    "pytorch_optimizer.optimizer.utils.graft.RMSPropGraft",
    "pytorch_optimizer.optimizer.utils.graft.SGDGraft",
    "pytorch_optimizer.optimizer.utils.graft.SQRTNGraft",
    "pytorch_optimizer.optimizer.utils.partition.BlockPartitioner",
    "pytorch_optimizer.optimizer.utils.partition.PreConditionerType",
    "pytorch_optimizer.optimizer.utils.preconditioner.PreConditioner",
)
"""What optimizers keep in their state beside numbers, lists and texts; a state that is read may hold these."""
