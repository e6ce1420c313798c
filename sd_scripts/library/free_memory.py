"""RAM that may still be taken: the machine's, and in a container what its limit leaves."""

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
    """Bytes; `groups`: where Linux tells of the limits of this process."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, taken, stat, idle in _GROUPS:
        # "max", which is no number, is no limit.
        with suppress(OSError, ValueError, KeyError):
            facts = dict(line.split() for line in (groups / stat).read_text().splitlines())
            used = int((groups / taken).read_text()) - int(facts[idle])
            free = min(free, int((groups / limit).read_text()) - used)
    return max(0, free)
