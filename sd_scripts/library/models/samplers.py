"""Samplers by the names that users know, as diffusers' schedulers."""

import inspect
import warnings
from typing import Any

from sd_scripts.library.models import schedule

_DPM_1 = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}

# The names with k_ are those of other programs for the same samplers.
# {sampler: (diffusers' class, what it is told besides the training schedule)}
_SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm_2": ("KDPM2DiscreteScheduler", {}),
    "dpm_2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpmsolver": ("DPMSolverMultistepScheduler", _DPM_1),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmsingle": ("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
    "k_lms": ("LMSDiscreteScheduler", {}),
    "k_euler": ("EulerDiscreteScheduler", {}),
    "k_euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "k_dpm_2": ("KDPM2DiscreteScheduler", {}),
    "k_dpm_2_a": ("KDPM2AncestralDiscreteScheduler", {}),
}


def sampling_scheduler(sampler: str, training: dict[str, Any]) -> Any:
    """The scheduler of a sampler's name; `training` is the model's scheduler configuration."""
    import diffusers

    name, options = _SAMPLERS[sampler]
    kind = getattr(diffusers, name)
    config = {**training, **options}
    if training.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in inspect.signature(kind).parameters:
        config["trained_betas"] = _zero_terminal_betas(training)
    with warnings.catch_warnings():
        # diffusers advises against the first DPM-Solver, which was asked for by name.
        warnings.filterwarnings("ignore", message=".*algorithm_type dpmsolver is deprecated.*")
        return kind.from_config(config)


def _zero_terminal_betas(training: dict[str, Any]) -> list[float]:
    """The rescaled betas, for schedulers of diffusers that cannot rescale them."""
    steps, start, end = training["num_train_timesteps"], training["beta_start"], training["beta_end"]
    alphas_T = schedule.with_zero_terminal_snr(schedule.alphas_cumprod(steps, start, end))
    # As near to 0 as diffusers' own schedulers come; at 0 their noise level would be infinite.
    alphas_T[-1] = 2**-24
    return schedule.betas(alphas_T).tolist()
