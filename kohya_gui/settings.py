"""The options of gui.py."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from sd_scripts.options.spec import PathTo, Range, Secret


@dataclass(kw_only=True)
class ServerOptions:
    """Opens the page: train Stable Diffusion models on your own pictures."""

    listen: str = "127.0.0.1"
    """Address to listen on. Only this machine reaches 127.0.0.1; 0.0.0.0 is every network, and needs a password."""

    server_port: Annotated[int | None, Range(low=1, high=65535)] = None
    """Port of the page. Empty: 7860, or the next free one."""

    root: Annotated[list[str], tyro.conf.UseAppendAction, PathTo("folder")] = field(default_factory=list)
    """Folder that the page may reach; may be given several times. None given: the home folder."""

    allowed_host: Annotated[list[str], tyro.conf.UseAppendAction] = field(default_factory=list)
    """Further name under which the page is reached, such as that of a proxy; may be given several times."""

    inbrowser: bool = False
    """Open the page in the browser."""

    headless: bool = False
    """Open no browser, whatever else is said."""

    username: str | None = None
    """Name to log in with. Empty: user, where a password is needed."""

    password: Annotated[str | None, Secret()] = None
    """Password to log in with. Where one is needed and none is given, one is made and printed."""

    root_path: str = ""
    """Path under which a proxy offers the page, such as /studio."""

    share: bool = False
    """Offer the page to the internet through gradio's relay, with a password."""

    runs_dir: Annotated[str | None, PathTo("folder")] = None
    """Folder for runs, projects and presets. Empty: in the user's data folder of this system."""
