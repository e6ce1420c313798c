"""A lock between processes that the system itself releases when its holder dies."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, wait_s: float) -> Iterator[bool]:
    """Gives whether the lock was won within `wait_s`; it is held until the block ends.

    The lock of an SQLite file works alike on every system and network folder that SQLite supports.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=wait_s, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            yield False
            return
        yield True
