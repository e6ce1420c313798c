"""Reads the next batches while the model works on this one: threads, the same on every system."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.training_data import Example, Item

# So many batches are read ahead at least, however few readers there are.
BATCHES_AHEAD = 2


def prefetch(
    batches: Iterable[list[Item]],
    load: Callable[[Item], Example],
    readers: int,
    on_failure: Callable[[Item, str], None],
) -> Iterator[list[Example]]:
    """Gives every batch loaded, in order; what it gives does not depend on the number of readers (0: none).

    An item that cannot be read is missing from its batch and goes to `on_failure`, in order and in this thread. A batch
    of which nothing could be read comes empty, so that batches can still be counted.
    """
    if readers == 0:
        for batch in batches:
            yield _collected([_attempt(load, item) for item in batch], on_failure)
        return
    pool = ThreadPoolExecutor(readers, thread_name_prefix="reader")
    waiting: deque[list[Future[tuple[Item, Example | str]]]] = deque()
    try:
        for batch in batches:
            waiting.append([pool.submit(_attempt, load, item) for item in batch])
            items_ahead = sum(map(len, waiting))
            if len(waiting) > BATCHES_AHEAD and items_ahead > 2 * readers:
                yield _collected([future.result() for future in waiting.popleft()], on_failure)
        while waiting:
            yield _collected([future.result() for future in waiting.popleft()], on_failure)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(load: Callable[[Item], Example], item: Item) -> tuple[Item, Example | str]:
    """The item with its example, or with the reason why there is none."""
    try:
        return item, load(item)
    except UnreadableImage as error:
        return item, str(error)
    except OSError as error:
        return item, f"it cannot be read ({error.strerror or error})"
    except MemoryError:
        return item, "it needs more memory than there is"


def _collected(loaded: list[tuple[Item, Example | str]], on_failure: Callable[[Item, str], None]) -> list[Example]:
    examples = []
    for item, result in loaded:
        if isinstance(result, str):
            on_failure(item, result)
        else:
            examples.append(result)
    return examples
