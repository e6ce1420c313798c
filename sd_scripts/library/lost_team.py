"""Errors that say that another process of a team has ended. Needs no torch."""

from sd_scripts.library.errors import UserError

SENTENCE = "Another process of this run has ended, so this one cannot go on. The launcher says which one, and why."
# As gloo, NCCL and torch's own store say it of a connection that nobody holds the other end of any more.
_WORDS = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "application timeout caused pair closure",
    "connection was likely closed",
    "remote process exited or there was a network error",
    "ncclremoteerror",
)
# Where the same words come from: gloo names its source file, torch's errors their own kind.
_TALKERS = ("gloo", "nccl", "socket", "sendbytes", "recvvalue", "processgroup")


class LostTeam(UserError):
    """The others of a team have gone."""

    exit_code = 1


def is_lost_team(error: BaseException) -> bool:
    """Whether an error of torch.distributed says that a process at the other end is gone."""
    text = str(error).lower()
    if not isinstance(error, RuntimeError) or not any(word in text for word in _WORDS):
        return False
    return type(error).__name__.startswith("Dist") or any(talker in text for talker in _TALKERS)
