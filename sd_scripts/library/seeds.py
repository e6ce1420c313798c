"""Randomness that depends on where it is used, not on who asked first. Needs no torch."""

import functools
import hashlib
from collections.abc import Callable


def sow(seed: int) -> None:
    """Sets all generators that many share: torch's on every device, numpy's and Python's own, which some networks and
    optimizers of other packages draw from."""
    import random

    import numpy
    import torch

    torch.default_generator.manual_seed(seed)
    for sow_device in _on_devices():
        sow_device(seed)
    numpy.random.seed(seed % 2**32)
    random.seed(seed)


@functools.cache
def _on_devices() -> list[Callable[[int], None]]:
    """Sets torch's generators on the devices that there are.

    torch.manual_seed notes the seed for those that there are not as well, each time with the stack of its callers.
    """
    import torch

    cuda, metal = torch.cuda.is_available(), torch.backends.mps.is_available()
    return [torch.cuda.manual_seed_all] * cuda + [torch.mps.manual_seed] * metal


def derive(seed: int, *where: int | str) -> int:
    """A seed (0 to 2**63 - 1) for one place, such as derive(seed, "noise", epoch, image, repeat).

    The same arguments give the same number on every machine and in every process.
    """
    text = "\0".join(str(part) for part in (seed, *where))
    # Names of files need not be UTF-8.
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 1
