"""What every open page asks again and again: made once a moment for all pages that ask the same."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool

SHARED_S = 1.0
"""So old an answer may be that is given again."""

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """The arguments of a poll."""

    run: str | None
    since_event: int
    log_offset: int
    lang: str


class Polls:
    """Answers polls. Who asks the same within a moment is given the same bytes; only the first one costs anything."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._answers: OrderedDict[Asked, tuple[float, asyncio.Task[bytes]]] = OrderedDict()

    async def answer(self, asked: Asked, fresh: bool) -> bytes:
        """The answer as JSON. `fresh`: made now, as somebody has just changed something."""
        made_s, making = self._answers.get(asked, (0.0, None))
        if making is None or fresh or time.monotonic() - made_s > SHARED_S:
            making = asyncio.create_task(run_in_threadpool(self._made, asked))
            self._answers[asked] = (time.monotonic(), making)
            self._answers.move_to_end(asked)
            self._forget()
        # Who goes away takes the answer from nobody else.
        return await asyncio.shield(making)

    def _made(self, asked: Asked) -> bytes:
        # Unlike the standard library's, it writes what is no number as null, which is what browsers can read.
        return orjson.dumps(self._ask("poll", asdict(asked)))

    def _forget(self) -> None:
        while time.monotonic() - next(iter(self._answers.values()))[0] > SHARED_S:
            self._answers.popitem(last=False)


def add_polls(app: FastAPI, ask: Ask) -> None:
    """The address of polls, beside Gradio's own, which takes three times as long."""
    polls = Polls(ask)

    @app.get("/poll")
    async def poll(
        lang: str, run: str | None = None, since_event: int = 0, log_offset: int = 0, fresh: int = 0
    ) -> Response:
        answer = await polls.answer(Asked(run, since_event, log_offset, lang), bool(fresh))
        return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})
