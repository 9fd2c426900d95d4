"""What a command line says about the program that it starts: which it is, and whether that restarts others.

It knows nothing about which processes there are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath

RUN = "hotsession run"

# Those that start any command, which may be a shell in which the server is started.
WRAPPERS = frozenset(
    {"watchfiles", "watchmedo", "watchexec", "nodemon", "entr", "air", "reflex", "hupper", "modd", "wgo"}
)
# Those whose worker is their child.
_SERVERS = frozenset({"uvicorn", "gunicorn", "granian", "hypercorn", "fastapi"})
_YES = frozenset({"1", "true", "t", "yes", "y", "on"})  # as click reads variables


def reloader_kind(command: Sequence[str], environ: Mapping[str, str] = os.environ) -> str | None:
    """What a process is called that restarts others when files change; None if its command is not that of one.

    Args:
        command: the program and its arguments.
        environ: variables that count as options.
    """
    program, arguments = parsed(command)
    if program in WRAPPERS:
        return program
    if program == "hotsession":
        return RUN if _subcommand(arguments) == "run" else None
    if program not in _SERVERS:
        return None
    if program == "fastapi" and _subcommand(arguments) == "dev":
        return None if "--no-reload" in arguments else "fastapi dev"
    if program == "gunicorn":
        arguments = [*environ.get("GUNICORN_CMD_ARGS", "").split(), *arguments]
    said = [word for word in arguments if word in ("--reload", "--no-reload")]
    reloads = said[-1] == "--reload" if said else environ.get(f"{program.upper()}_RELOAD", "").lower() in _YES
    return f"{program} --reload" if reloads else None


def parsed(command: Sequence[str]) -> tuple[str, list[str]]:
    """The name of the program that a command line runs (Python's module or script, if it is Python), its arguments."""
    if not command:
        return "", []
    program, arguments = PurePath(command[0]).name, list(command[1:])
    if program.lower().startswith(("python", "pypy")):
        program, arguments = _python_program(arguments)
    elif program in ("node", "nodejs") and arguments:
        program, arguments = PurePath(arguments[0]).name, arguments[1:]
    return program.removesuffix(".exe").removesuffix(".js"), arguments


def _python_program(words: list[str]) -> tuple[str, list[str]]:
    """The module or script that these arguments of Python run."""
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--check-hash-based-pycs":
            words = words[1:]
        elif not word.startswith("-") or word == "-":
            return _script(word), words
        for place, letter in enumerate(word[1:], 2):
            if letter in "XW" and not word.startswith("--"):
                words = words if word[place:] else words[1:]
                break
            if letter in "cm" and not word.startswith("--"):
                name, rest = (word[place:], words) if word[place:] else ((words or [""])[0], words[1:])
                return ("-c" if letter == "c" else _module(name)), rest
    return "python", []


def _script(path: str) -> str:
    """What runs by a script; ``__main__.py`` is that of the package."""
    script = PurePath(path)
    return _module(script.parent.name) if script.name == "__main__.py" else script.name


def _module(name: str) -> str:
    return {"fastapi_cli": "fastapi", "uvicorn.main": "uvicorn"}.get(name, name.removesuffix(".__main__"))


def _subcommand(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)
