"""Which methods of the studio the page and other programs may call, and how their trouble becomes an answer."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from kohya_gui.arguments import Json, checked_arguments
from kohya_gui.words import from_program, say, speaking
from sd_scripts.library.errors import UserError

_LOG = logging.getLogger(__name__)

LONGEST_SENTENCE = 4000
"""Letters."""

ENDPOINTS: list[str] = []
"""The names of all endpoints."""


def endpoint(method: Callable[..., Json]) -> Callable[..., Json]:
    """Makes a method reachable from the page by its name; what its user did wrong becomes an answer."""
    ENDPOINTS.append(method.__name__)

    @functools.wraps(method)
    def answered(self: Any, *args: Any, lang: str = "en", **kwargs: Any) -> Json:
        with speaking(lang):
            try:
                return method(self, **checked_arguments(method, args, kwargs))
            except UserError as error:
                return _trouble(from_program(str(error)), getattr(error, "option", None))
            except Exception as error:
                # A mistake of ours: told in the page, not only in the terminal, where nobody may look.
                _LOG.exception("%s failed", method.__name__)
                return _trouble(say("call.internal", what=f"{type(error).__name__}: {error}"), None)

    return answered


def _trouble(sentence: str, field: str | None) -> Json:
    """A sentence as an answer. One that repeats what it was given is cut, as that may be of any length."""
    long = len(sentence) > LONGEST_SENTENCE
    return {"error": sentence[:LONGEST_SENTENCE] + "…" * long, "field": field and field[:LONGEST_SENTENCE]}
