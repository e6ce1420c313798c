"""Which methods of the studio the page and other programs may call, and how their trouble becomes an answer."""

import functools
from collections.abc import Callable
from typing import Any

from kohya_gui.arguments import Json, checked_arguments
from kohya_gui.words import from_program, speaking
from sd_scripts.library.errors import UserError

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
                return {"error": from_program(str(error)), "field": getattr(error, "option", None)}

    return answered
