"""Brings pictures to a captioner or tagger: read ahead of it, gathered into full batches while it works."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sd_scripts.library.data.read_ahead import Prepared, batches, memory_kept, read_ahead, read_in_threads
from sd_scripts.library.tagging.describer import Describer

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """A batch with its pictures' paths, and what could not be read on the way to it: (path, reason)."""

    paths: list[Path]
    batch: "np.ndarray | None"
    failed: list[tuple[Path, str]] = field(default_factory=list)


def groups(
    images: list[Path], describer: Describer, size: int, workers: int | None, fast_decode: bool
) -> Generator[Group, None, None]:
    """All pictures in batches of `size`, but for the last one. Errors: BadOption, when a worker process is ended.

    Meanwhile the model, too, finds its memory kept from batch to batch.
    """
    with memory_kept():
        yield from _one_ahead(_gathered(_prepared(images, describer, size, workers, fast_decode), describer, size))


def _prepared(
    images: list[Path], describer: Describer, size: int, workers: int | None, fast_decode: bool
) -> Iterator[Prepared[Path, Any]]:
    prepare = describer.preparer(fast_decode)
    if workers == 0 or not describer.threads_read:
        return read_ahead(images, prepare, workers)
    return read_in_threads(images, prepare, workers, size)


def _gathered(prepared: Iterator[Prepared[Path, Any]], describer: Describer, size: int) -> Generator[Group, None, None]:
    failed: list[tuple[Path, str]] = []
    for pairs in batches(prepared, size, lambda path, reason: failed.append((path, reason))):
        paths, images = [path for path, _ in pairs], [image for _, image in pairs]
        # A model of a fixed batch size gets a short batch filled up with its last picture.
        filled = images + images[-1:] * ((describer.fixed_batch_size or 0) - len(images))
        yield Group(paths, describer.gather(filled), failed.copy())
        failed.clear()
    if failed:
        yield Group([], None, failed)


def _one_ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Makes the next item in a thread while this one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="gatherer") as pool:
        coming = pool.submit(next, items, None)
        try:
            while (item := coming.result()) is not None:
                coming = pool.submit(next, items, None)
                yield item
        finally:
            coming.cancel()
            pool.submit(items.close).result()
