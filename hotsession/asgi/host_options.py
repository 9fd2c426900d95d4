"""How the host watches, reloads and runs an app."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """How the host watches, reloads and runs an app.

    Args:
        watch_dirs: directories whose modules are reloaded; the target's and the working directory when left out.
        includes: glob patterns of files to watch besides Python's.
        excludes: glob patterns of files, and directories, not to watch.
        scope: ``"changed"`` replaces changed modules and what imports them, ``"all"`` every own module.
        handover: ``"start-first"`` starts the new app before the old one ends; ``"stop-first"`` the other way round,
            while requests wait.
        drain_timeout: seconds after which WebSockets and event streams that still run on old code leave it.
        carry: whether they move on to the new code; False to close them, so that their clients connect anew.
        lifespan: ``"auto"``, ``"on"`` or ``"off"``, as uvicorn means it.
        interface: ``"auto"``, ``"asgi3"``, ``"asgi2"`` or ``"wsgi"``, as uvicorn means it.
        poll: look at the files instead of listening to the system, as network drives need it.
        watch: False to watch nothing.
    """

    watch_dirs: tuple[Path, ...] = ()
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    scope: Literal["changed", "all"] = "changed"
    handover: Literal["start-first", "stop-first"] = "start-first"
    drain_timeout: float = 60.0
    carry: bool = True
    lifespan: Literal["auto", "on", "off"] = "auto"
    interface: Literal["auto", "asgi3", "asgi2", "wsgi"] = "auto"
    poll: bool = False
    watch: bool = True
