"""What a user should know of the options before training begins: mostly, which of them do nothing."""

from collections.abc import Iterator

from sd_scripts.library.train.boards import idle_logging
from sd_scripts.library.train.checks.noise import idle_options
from sd_scripts.library.train.device import idle_without_gpu
from sd_scripts.library.train.idle import idle_settings
from sd_scripts.library.train.optimizing import rate_notices
from sd_scripts.library.train.parallel import idle_alone
from sd_scripts.library.train.settings import FullSettings
from sd_scripts.library.train.team import launched


def notices(options: FullSettings) -> Iterator[str]:
    """One sentence each; the run is the same without such an option, so it is not refused. Errors: BadOption."""
    yield from rate_notices(options.optimizer, options.schedule, options.method)
    yield from idle_options(options)
    yield from idle_settings(options)
    yield from idle_logging(options.logging)
    yield from idle_without_gpu(options.precision)
    yield from idle_alone(options.parallel, launched().size)
