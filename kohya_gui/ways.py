"""The addresses that the page answers. Gradio mounts many more: what is not listed here does not exist."""

import re

# Names that begin with a dot lead out of a folder, or to what is hidden.
_NAME = r"[\w@~-][\w@~.-]*"
_PATH = rf"(?:{_NAME}/)*{_NAME}"

_SHELL = ("/", "/theme.css", "/manifest.json", "/favicon.ico", rf"/assets/{_PATH}", rf"/static/{_PATH}")
_API = "/gradio_api"
_WAYS: dict[str, tuple[str, ...]] = {
    "HEAD": ("/",),
    "GET": (
        *_SHELL, "/studio.js", "/file", "/thumbnail", "/logout", "/config",
        rf"{_API}/info", rf"{_API}/queue/data", rf"{_API}/heartbeat/{_NAME}", rf"{_API}/call/{_NAME}/{_NAME}",
        rf"/tensorboard/\d+/(?:{_PATH}/?)?",
    ),
    "POST": (
        "/login/?", rf"{_API}/component_server/?", rf"{_API}/queue/join", rf"{_API}/call/{_NAME}",
        rf"/tensorboard/\d+/{_PATH}",
    ),
}  # fmt: skip
"""{method: the addresses, whole}. Needed by the page, and by programs that use Gradio's client or its /call."""

_OPEN: dict[str, tuple[str, ...]] = {"HEAD": ("/",), "GET": _SHELL, "POST": ("/login/?",)}
"""Those of them that the form for the password needs: all that is answered before somebody has logged in."""


def is_known(method: str, path: str) -> bool:
    """Whether anything is answered there."""
    return _matches(_WAYS, method, path)


def is_open(method: str, path: str) -> bool:
    """Whether it is answered to anybody, also without the password that the page asks for."""
    return _matches(_OPEN, method, path)


def takes_forms(path: str) -> bool:
    """Whether what is sent there may be a form; everything else takes JSON, which no form of another site can send."""
    return path.startswith(("/login", "/tensorboard/"))


def _matches(ways: dict[str, tuple[str, ...]], method: str, path: str) -> bool:
    return any(re.fullmatch(pattern, path, re.ASCII) for pattern in ways.get(method, ()))
