"""What `hotsession run` can be told: uvicorn's own options, taken from its click command, and three of ours.

Nothing of uvicorn's is written down again here. It knows nothing about processes or about the app.
"""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from uvicorn import Config
from uvicorn.config import LOGGING_CONFIG, resolve_reload_patterns
from uvicorn.main import main as uvicorn_command

from hotsession.errors import ConfigurationError

Handover = Literal["start-first", "stop-first"]
Scope = Literal["changed", "all"]

OURS = (
    click.Option(
        ["--handover"],
        type=click.Choice(["start-first", "stop-first"]),
        default="start-first",
        show_default=True,
        allow_from_autoenv=False,
        help="Start the new app before the old one shuts down, or only afterwards: for what can't exist twice.",
    ),
    click.Option(
        ["--drain-timeout"],
        type=click.FloatRange(min=0),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        allow_from_autoenv=False,
        help="How long streams and WebSockets may go on with old code after a save. Ordinary requests always finish.",
    ),
    click.Option(
        ["--carry/--no-carry"],
        default=True,
        show_default=True,
        allow_from_autoenv=False,
        help="After a save let WebSockets and resumable event streams go on with the new code, or close them.",
    ),
    click.Option(
        ["--reload-scope"],
        type=click.Choice(["changed", "all"]),
        default="changed",
        show_default=True,
        allow_from_autoenv=False,
        help="Reload what changed and all that imports it, or all own modules each time.",
    ),
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one `hotsession run` was told, checked.

    Args:
        server: keyword arguments for `uvicorn.Config`, those about reloading left out.
        lifespan: as uvicorn's ``--lifespan``, for the user's app.
        interface: as uvicorn's ``--interface``, for the user's app.
        watch_dirs: directories, absolute.
        includes: patterns of ``--reload-include``.
        excludes: patterns and directories of ``--reload-exclude``.
        scope: what a save reloads.
        handover: which of the old and the new app goes first.
        drain_timeout: seconds.
        carry: whether connections go on with new code.
    """

    server: Mapping[str, Any]
    lifespan: Literal["auto", "on", "off"]
    interface: Literal["auto", "asgi3", "asgi2", "wsgi"]
    watch_dirs: tuple[Path, ...]
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    scope: Scope
    handover: Handover
    drain_timeout: float
    carry: bool


def parameters() -> list[click.Parameter]:
    """The parameters of uvicorn's command, then ours."""
    theirs = [copy.copy(each) for each in uvicorn_command.params if each.name != "version"]
    target = next(each for each in theirs if each.name == "app")
    target.required = False  # a missing one is explained by us
    target.metavar = "TARGET"
    return [*theirs, *OURS]


def config_arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments for `uvicorn.Config` that uvicorn's own command makes of the parsed `params`."""
    known = inspect.signature(Config).parameters.keys() - {"app"}
    arguments = {name: value for name, value in params.items() if name in known}
    for name in ("reload_dirs", "reload_includes", "reload_excludes"):
        arguments[name] = arguments[name] or None
    if arguments["log_config"] is None:
        arguments["log_config"] = LOGGING_CONFIG
    arguments["headers"] = [header.split(":", 1) for header in arguments["headers"]]
    return arguments


def run_options(params: Mapping[str, Any], root: Path) -> RunOptions:
    """What the parsed `params` mean for an app whose modules are imported from `root`.

    Raises:
        ConfigurationError: they ask for what one worker can't do.
    """
    if (params["workers"] or 1) > 1:
        raise ConfigurationError(
            f"--workers {params['workers']} does not go with hotsession run, whose one worker holds the sessions "
            f"in memory: leave it out, or for production type `uvicorn {params['app']} --workers {params['workers']}`"
        )
    server = config_arguments(params)
    about_reloading = ("reload", "reload_dirs", "reload_includes", "reload_excludes", "reload_delay")
    server = {name: value for name, value in server.items() if name not in about_reloading}
    includes, excludes = tuple(params["reload_includes"]), tuple(params["reload_excludes"])
    return RunOptions(
        server={**server, "workers": 1, "lifespan": "on", "interface": "asgi3", "factory": False},
        lifespan=params["lifespan"],
        interface=params["interface"],
        watch_dirs=watched_directories(params["reload_dirs"], includes, excludes, root),
        includes=tuple(each for each in includes if not Path(each).is_dir()),
        excludes=tuple(str(Path(each).resolve()) if Path(each).is_dir() else each for each in excludes),
        scope=params["reload_scope"],
        handover=params["handover"],
        drain_timeout=params["drain_timeout"],
        carry=params["carry"],
    )


def watched_directories(
    directories: Sequence[str], includes: Sequence[str], excludes: Sequence[str], root: Path
) -> tuple[Path, ...]:
    """The directories to watch, by uvicorn's rules; by default the current one, and `root` if it lies elsewhere.

    An include that is a directory, or a pattern that matches directories, adds them; an excluded directory and those
    below it go; of two directories, one in the other, the outer one stays.
    """
    _, chosen = resolve_reload_patterns(list(includes), [str(each) for each in directories])
    _, unwanted = resolve_reload_patterns(list(excludes), [])
    chosen = [each for each in chosen if not any(out == each or out in each.parents for out in unwanted)]
    if not chosen:
        _, chosen = resolve_reload_patterns([], [str(Path.cwd()), str(root)])
    return tuple(sorted(chosen))


def notes(params: Mapping[str, Any]) -> list[str]:
    """What to tell the user about options that are accepted and change nothing."""
    found = []
    if params["reload"]:
        found.append("--reload is not needed: hotsession run reloads by itself, within the process")
    concurrency = os.environ.get("WEB_CONCURRENCY")
    if params["workers"] is None and concurrency not in (None, "", "1"):
        found.append(f"WEB_CONCURRENCY={concurrency} is ignored: hotsession run serves with one worker")
    return found
