"""What must be true of the answers to trouble in the middle of a training. Needs no torch."""

from sd_scripts.library.errors import BadOption
from sd_scripts.library.team import launched
from sd_scripts.options.trainer import TrainerOptions


def check_trouble(options: TrainerOptions) -> None:
    """What is to be skipped, rolled back or done again can be. Errors: BadOption."""
    _check_nonfinite(options)
    if options.trouble.on_oom == "retry":
        reasons = {
            **_changed_already(options),
            "several processes: the others would wait for ever for the one that does a step again": launched().size > 1,
        }
        _refuse("on_oom", "retry", reasons)


def _check_nonfinite(options: TrainerOptions) -> None:
    asked, saving = options.trouble.on_nonfinite, options.saving
    if asked == "skip":
        _refuse("on_nonfinite", asked, _changed_already(options))
    if asked == "rollback":
        _refuse(
            "on_nonfinite", asked, {"--deepspeed, whose processes hold parts of the weights": options.zero.deepspeed}
        )
        every = saving.save_every_n_steps or saving.save_every_n_epochs or saving.save_n_epoch_ratio
        if not options.state.save_state or not every:
            sentence = "needs states to go back to: --save_state, and --save_every_n_steps or --save_every_n_epochs"
            raise BadOption("on_nonfinite", f"--on_nonfinite rollback {sentence}.")


def _changed_already(options: TrainerOptions) -> dict[str, bool]:
    """Ways of training in which weights change before a step is known to be good."""
    return {
        "--fused_backward_pass: some weights have taken the step by then": options.precision.fused_backward_pass,
        "--fused_optimizer_groups: some weights have taken the step by then": bool(options.groups.portions),
        "--deepspeed, which makes its own steps": options.zero.deepspeed,
    }


def _refuse(option: str, value: str, reasons: dict[str, bool]) -> None:
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        raise BadOption(option, f"--{option} {value} does not go with {reason}.")
