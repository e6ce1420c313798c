"""Effects of the options of the noise and of the loss."""

from tests.effects.check import checked
from tests.effects.effect import Effect, refused, seen

V = {"v_parameterization": True}
OFFSET = {"noise_offset": 0.3}
LAYERS = {"multires_noise_iterations": 4}
INPUT = {"ip_noise_gamma": 0.3}
HUBER = {"loss_type": "huber"}
SCALED = {**HUBER, "huber_schedule": "constant"}

NOISE = [
    seen("noise_offset", 0.1, "losses", "weights", "header"),
    seen("noise_offset_random_strength", True, "losses", "weights", "header", **OFFSET),
    Effect("noise_offset_random_strength", True, ("said", "header"), unseen_in=("losses",), says="does nothing"),
    seen("adaptive_noise_scale", 0.5, "losses", "weights", "header", **OFFSET),
    refused("adaptive_noise_scale", 0.5, "--adaptive_noise_scale needs a --noise_offset above 0"),
    seen("multires_noise_iterations", 4, "losses", "weights", "header"),
    seen("multires_noise_discount", 0.8, "losses", "weights", "header", **LAYERS),
    Effect("multires_noise_discount", 0.8, ("said", "header"), unseen_in=("losses",), says="does nothing"),
    seen("ip_noise_gamma", 0.1, "losses", "weights", "header"),
    seen("ip_noise_gamma_random_strength", True, "losses", "weights", "header", **INPUT),
    Effect("ip_noise_gamma_random_strength", True, ("said", "header"), unseen_in=("losses",), says="does nothing"),
    seen("zero_terminal_snr", True, "losses", "weights", "header", **V),
    seen("zero_terminal_snr", True, "samples", sample_prompts="{here}/prompts.txt", sample_at_first=True, **V),
    Effect("zero_terminal_snr", True, ("said",), says="is for models that predict velocity"),
    seen("min_timestep", 900, "losses", "weights", "header"),
    seen("max_timestep", 100, "losses", "weights", "header"),
    refused("max_timestep", 100, "--min_timestep 200 must be less than --max_timestep 100", min_timestep=200),
]

LOSS = [
    seen("loss_type", "l1", "losses", "weights", "header"),
    seen("loss_type", "huber", "losses", "weights", "header"),
    seen("loss_type", "smooth_l1", "losses", "weights", "header"),
    seen("huber_schedule", "exponential", "losses", "weights", "header", **HUBER),
    Effect("huber_schedule", "constant", ("said", "header"), unseen_in=("losses", "weights"), says="does nothing"),
    seen("huber_c", 0.5, "losses", "weights", "header", **HUBER),
    Effect("huber_c", 0.5, ("said", "header"), unseen_in=("losses", "weights"), says="does nothing"),
    refused("huber_c", 0.0, "--huber_c 0 leaves no loss to learn from", **HUBER),
    seen("huber_scale", 2.0, "losses", "weights", "header", **SCALED),
    Effect("huber_scale", 2.0, ("said",), HUBER, ("losses",), says="does nothing with --huber_schedule snr"),
    seen("min_snr_gamma", 0.5, "losses", "weights", "header"),
    seen("debiased_estimation_loss", True, "losses", "weights", "header"),
    refused("debiased_estimation_loss", True, "an infinite weight: add --max_timestep 999", zero_terminal_snr=True),
    seen("scale_v_pred_loss_like_noise_pred", True, "losses", "weights", "header", **V),
    refused("scale_v_pred_loss_like_noise_pred", True, "needs --v_parameterization"),
    seen("v_pred_like_loss", 0.5, "losses", "weights", "header"),
    refused("v_pred_like_loss", 0.5, "is not for --v_parameterization", **V),
]

ROWS = [
    *NOISE,
    *LOSS,
    Effect("v_parameterization", True, ("losses", "said"), says="as few Stable Diffusion 1 models do"),
]

test_it_changes_what_it_should = checked(ROWS)
