"""Looks over a run's shoulder: what is computed, and by how many threads."""

import contextlib
import multiprocessing.process
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass
class Watched:
    """Counts of what was seen."""

    computed: Counter[str] = field(default_factory=Counter)
    threads: Counter[str] = field(default_factory=Counter)


class _Operations(TorchDispatchMode):
    def __init__(self, seen: Counter[str]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        what = f"{tensors[0].dtype} {tuple(tensors[0].shape)}" if tensors else ""
        self._seen[f"{func} {what}"] += 1
        return func(*args, **(kwargs or {}))


_POOLS = {"ThreadPoolExecutor", "gatherer", "reader", "writer"}


@contextlib.contextmanager
def watching(computed: bool) -> Iterator[Watched]:
    """Counts the threads and processes that are started; with `computed` also torch's operations in this thread, the
    batches that onnxruntime sees, and the scale at which JPEG files are decoded."""
    import onnxruntime
    from PIL.JpegImagePlugin import JpegImageFile

    seen = Watched()
    Process, Session = multiprocessing.process.BaseProcess, onnxruntime.InferenceSession
    thread_start, process_start, session_run = threading.Thread.start, Process.start, Session.run
    draft, pool_made = JpegImageFile.draft, ThreadPoolExecutor.__init__

    def counted_start(thread: threading.Thread) -> None:
        name = re.sub(r"[_-]?\d+.*", "", thread.name)
        # How many threads a pool starts depends on how busy the first ones are: it counts with those that it may start.
        seen.threads[name] += name not in _POOLS
        thread_start(thread)

    def counted_pool(pool: Any, max_workers: int | None = None, thread_name_prefix: str = "", **more: Any) -> None:
        if thread_name_prefix in _POOLS:
            seen.threads[f"pool of {thread_name_prefix}"] += max_workers or 0
        pool_made(pool, max_workers, thread_name_prefix, **more)

    def counted_process(process: Any) -> None:
        seen.threads["process"] += 1
        process_start(process)

    def counted_run(session: Any, names: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        seen.computed[f"onnx {[value.shape for value in inputs.values()]}"] += 1
        return session_run(session, names, inputs, *rest)

    def counted_draft(image: Any, *asked: Any) -> Any:
        seen.computed[f"draft {asked}"] += 1
        return draft(image, *asked)

    with contextlib.ExitStack() as stack:
        for owner, name, counted, own in (
            (threading.Thread, "start", counted_start, thread_start),
            (Process, "start", counted_process, process_start),
            (Session, "run", counted_run, session_run),
            (JpegImageFile, "draft", counted_draft, draft),
            (ThreadPoolExecutor, "__init__", counted_pool, pool_made),
        ):
            setattr(owner, name, counted)
            stack.callback(setattr, owner, name, own)
        if computed:
            stack.enter_context(_Operations(seen.computed))
        yield seen
