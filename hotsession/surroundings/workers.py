"""How many workers the server of this process has: what one keeps in its memory, the others do not see.

Servers hand their settings to the workers that they start; the rest is read from frames and commands. It knows nothing
about what is made of the answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from hotsession.surroundings.commands import parsed
from hotsession.surroundings.reloaders import under_reloader
from hotsession.surroundings.spawned import main_frames, spawned

# What does not hand its settings over: the options that say how many, and the variables, the strongest first.
_OPTIONS = {"granian": ("--workers",), "gunicorn": ("--workers", "-w")}
_VARIABLES = {"granian": ("GRANIAN_WORKERS",), "gunicorn": ("WEB_CONCURRENCY",)}


def worker_count(environ: Mapping[str, str] = os.environ) -> int:
    """How many workers there are of which this process is one; 1 where it is alone, and under reloaders.

    A gunicorn that preloads the app counts as a worker, because it forks what it loaded into each.
    """
    task = spawned()
    if task is None:
        count = _gunicorn_workers(environ)
    elif task.server == "granian":
        count = said_workers(["python", *sys.argv], environ)  # it spawned this process with its own arguments
    else:
        count = task.workers
    return 1 if count > 1 and under_reloader() else count


def said_workers(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """How many workers the command line of granian or gunicorn asks for; 1 if it is that of another program.

    Args:
        command: the program and its arguments.
        environ: variables that count as options.
    """
    program, arguments = parsed(command)
    if program == "gunicorn":
        arguments = [*environ.get("GUNICORN_CMD_ARGS", "").split(), *arguments]
    said = [environ.get(variable, "") for variable in _VARIABLES.get(program, ())]
    for place, word in enumerate(arguments):
        for option in _OPTIONS.get(program, ()):
            if word == option:
                said += arguments[place + 1 : place + 2]
            elif word.startswith(f"{option}=" if option.startswith("--") else option):
                said.append(word.removeprefix(option).removeprefix("="))
    return max((int(each) for each in said[-1:] if each.isdecimal()), default=1)


def _gunicorn_workers(environ: Mapping[str, str]) -> int:
    """What gunicorn's master says, whose frames are below those of the workers that it forks; or else its command."""
    for frame in main_frames():
        if frame.f_globals.get("__name__") == "gunicorn.arbiter":
            return int(getattr(frame.f_locals.get("self"), "num_workers", None) or 1)
    return said_workers(sys.orig_argv, environ)
