"""Errors that say that another process of a team has ended. Needs no torch."""

import re

from sd_scripts.library.errors import UserError

SENTENCE = "Another process of this run has ended, so this one cannot go on. The launcher says which one, and why."
# As gloo, NCCL and torch's own store say it of a connection that nobody holds the other end of any more.
_GONE = re.compile(
    "connection closed by peer|connection reset by peer|connection was likely closed|broken pipe"
    "|application timeout caused pair closure|remote process exited|ncclremoteerror"
)
# Where the same words come from: gloo names its source file, torch's errors their own kind.
_TALKER = re.compile("gloo|nccl|socket|sendbytes|recvvalue|processgroup")


class LostTeam(UserError):
    """The others of a team have gone."""

    exit_code = 1


def is_lost_team(error: BaseException) -> bool:
    """Whether an error of torch.distributed says that a process at the other end is gone."""
    text = str(error).lower()
    talks = type(error).__name__.startswith("Dist") or bool(_TALKER.search(text))
    return isinstance(error, RuntimeError) and talks and bool(_GONE.search(text))
