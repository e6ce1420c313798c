"""What must be true of this machine: its device and its packages are asked. Needs torch."""

from sd_scripts.library.train import zero
from sd_scripts.library.train.compiling import check_backend, check_graphs
from sd_scripts.library.train.device import check_device
from sd_scripts.library.train.fused import check_fused
from sd_scripts.library.train.optimizers import trial_optimizer
from sd_scripts.library.train.schedules import make_scheduler
from sd_scripts.options.trainer import TrainerOptions


def check_here(options: TrainerOptions) -> None:
    """Makes small ones of what is to be used. Errors: BadOption, NotInstalled."""
    check_device(options.precision)
    make_scheduler(options.schedule, trial_optimizer(options.optimizer))
    if options.precision.fused_backward_pass or options.groups.portions:
        check_fused(options.optimizer, "fused_optimizer_groups" if options.groups.portions else "fused_backward_pass")
    if options.precision.stochastic_rounding:
        check_fused(options.optimizer, "stochastic_rounding")
    check_backend(options.compilation)
    check_graphs(options.compilation)
    zero.check_drives(options.zero)
