"""RAM: what may still be taken of it, and the most that a process has held."""

import os
import sys
from contextlib import suppress
from pathlib import Path

# The limit, what is taken, and what of that files take that nobody uses: since 2016, and before (Linux, cgroup-v2.rst
# and cgroup-v1/memory.rst).
_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
_ROOT = Path("/sys/fs/cgroup")


def free_ram_bytes(groups: Path = _ROOT) -> int:
    """The machine's, and in a container what its limit leaves. `groups`: where Linux tells of that limit."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, taken, stat, idle in _GROUPS:
        # "max", which is no number, is no limit.
        with suppress(OSError, ValueError, KeyError):
            facts = dict(line.split() for line in (groups / stat).read_text().splitlines())
            used = int((groups / taken).read_text()) - int(facts[idle])
            free = min(free, int((groups / limit).read_text()) - used)
    return max(0, free)


def whole_ram_bytes(groups: Path = _ROOT) -> int:
    """All of the machine's, and in a container its limit, whatever is taken of it now."""
    import psutil

    whole = int(psutil.virtual_memory().total)
    for limit, *_ in _GROUPS:
        with suppress(OSError, ValueError):
            whole = min(whole, int((groups / limit).read_text()))
    return whole


def peak_ram_bytes(pid: int | None = None) -> int:
    """The most that a living process has held, this one by default; 0 where it has ended.

    Not ru_maxrss on Linux: that is never less than what the process held which started this one.
    """
    import psutil

    if sys.platform == "darwin" and pid in (None, os.getpid()):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of macOS it is in bytes
    try:
        process = psutil.Process(pid)
        if sys.platform.startswith("linux"):
            facts = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
            return next((int(line.split()[1]) * 1024 for line in facts if line.startswith("VmHWM")), 0)
        held = process.memory_info()
    except (psutil.Error, OSError):
        return 0
    # Windows tells the peak; of another process macOS tells no more than what it holds.
    return int(getattr(held, "peak_wset", held.rss))
