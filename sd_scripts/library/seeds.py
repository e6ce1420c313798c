"""Randomness that depends on where it is used, not on who asked first. Needs no torch."""

import hashlib


def derive(seed: int, *where: int | str) -> int:
    """A seed (0 to 2**63 - 1) for one place, such as derive(seed, "noise", epoch, image, repeat).

    The same arguments give the same number on every machine and in every process.
    """
    text = "\0".join(str(part) for part in (seed, *where))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
